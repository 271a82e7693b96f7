"""What goes wrong on purpose: which requests are hit, and by what."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Any

import msgspec

from scripts.simulator.calls import Call, FailureKind
from scripts.simulator.troubles import OF_THE_WIRE, Trouble, may_happen
from scripts.simulator.words import read_words

FAILURES = {kind.value: kind for kind in FailureKind}
TROUBLES = {kind.value: kind for kind in Trouble}


class Place(StrEnum):
    """Where something can go wrong: a live call, a line of a batch, or what a client asks of a batch."""

    CALL = "call"
    LINE = "line"
    UPLOAD = "upload"
    CREATE = "create"
    LOOK = "look"
    LIST = "list"
    CANCEL = "cancel"
    RESULTS = "results"
    DELETE = "delete"


Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


PLACES = frozenset(Place)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong, for the requests that match.

    `kind` is a value of `FailureKind` or `Trouble`. `protocol`, `model` and the API `key` are shell
    patterns. `probability` is per matching request, `told` the one for requests that say what was wrong
    with an earlier answer (None for the same): a model that is told of its fault does better. `times`
    ends the fault after so many hits, None means until it is changed. `wait_s` is the wait that an error
    asks for, None for no hint. `delay_s` is what `slow` adds, and the time between two bytes of
    `drip`.

    `at` are the places where it happens, with `|` between them. Without it those are live calls, and the
    lines of batches where it is a lie. Elsewhere, what is `done` goes wrong only after what was asked for
    has been done: the client doesn't know of the batch that it created.
    """

    kind: str
    probability: Probability = 1.0
    told: Probability | None = None
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    protocol: str = "*"
    model: str = "*"
    key: str = "*"
    at: str = ""
    done: bool = False
    wait_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0

    def __post_init__(self) -> None:
        if self.failure is None and self.trouble is None:
            kinds = ", ".join((*FailureKind, *Trouble))
            raise ValueError(f"kind {self.kind!r} is none of {kinds}")
        for place in filter(None, self.at.split("|")):
            if place not in PLACES:
                raise ValueError(f"place {place!r} is none of {', '.join(Place)}")

    def happens_at(self, place: Place) -> bool:
        """Whether this is a place for it: a line has no connection of its own that could break."""
        is_lie = self.trouble is not None and self.trouble not in OF_THE_WIRE
        if place is Place.LINE and self.failure is None and not is_lie:
            return False
        if not self.at:
            return place is Place.CALL or (place is Place.LINE and is_lie)
        return place in self.at.split("|")

    @property
    def failure(self) -> FailureKind | None:
        """The error that is answered, None where something else goes wrong."""
        return FAILURES.get(self.kind)

    @property
    def trouble(self) -> Trouble | None:
        """What goes wrong other than an error that is answered."""
        return TROUBLES.get(self.kind)

    def probability_of(self, call: Call | None) -> float:
        """Return how probable it is for a call, or a request that could not be read."""
        if call is None or not call.is_told or self.told is None:
            return self.probability
        return self.told


def parse_fault(text: str) -> Fault:
    """Read `KIND[:name=value,…]`, such as `429:wait_s=2,probability=0.1` or `hang:times=3`.

    Raises:
        ValueError: an unknown kind or field, or a value out of range.
    """
    kind, _, rest = text.partition(":")
    return read_words(Fault, f"fault {text!r}", rest, {"kind": kind})


class Faults:
    """The faults in force; the first that matches and fires is the one that happens."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose, no secret depends on it
        self._faults = list(faults)
        self._left = [fault.times for fault in faults]

    def draw(
        self, protocol: str, model: str, key: str, call: Call | None, place: Place = Place.CALL
    ) -> Fault | None:
        """Return what happens to this request, None for nothing; counts `times` down.

        `call` is None where the request could not be read.
        """
        for index, fault in enumerate(self._faults):
            left = self._left[index]
            if left == 0 or not _matches(fault, place, protocol, model, key):
                continue
            if fault.trouble is not None and not may_happen(fault.trouble, call):
                continue
            probability = fault.probability_of(call)
            if probability < 1 and self._random.random() >= probability:
                continue
            if left is not None:
                self._left[index] = left - 1
            return fault
        return None

    def describe(self) -> list[dict[str, Any]]:
        """Return the faults that can still happen; `times` is how often."""
        return [
            {**msgspec.structs.asdict(fault), "times": left}
            for fault, left in zip(self._faults, self._left, strict=True)
            if left != 0
        ]


def _matches(fault: Fault, place: Place, protocol: str, model: str, key: str) -> bool:
    return fault.happens_at(place) and all(
        pattern == "*" or fnmatchcase(name, pattern)
        for name, pattern in ((protocol, fault.protocol), (model, fault.model), (key, fault.key))
    )
