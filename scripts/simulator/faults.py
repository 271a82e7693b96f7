"""What goes wrong on purpose: which requests are hit, and by what."""

from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from random import Random
from typing import Annotated, Any

import msgspec

from scripts.simulator.calls import FailureKind
from scripts.simulator.words import read_words


class Trouble(StrEnum):
    """Everything but an error status that can happen to a request.

    HANG never answers, DRIP sends one byte at a time, RESET resets the connection when the request
    was read, CLOSE closes it when the answer was due, CUT promises the whole body and sends half.
    HTML answers 200 with a web page, BADJSON 200 with broken JSON. SCHEMA answers JSON that
    violates the schema that was asked for; LENGTH stops early, as if `max_tokens` were reached.
    """

    HANG = "hang"
    DRIP = "drip"
    RESET = "reset"
    CLOSE = "close"
    CUT = "cut"
    HTML = "html200"
    BADJSON = "badjson"
    USAGE_MISSING = "usage_missing"
    USAGE_ABSURD = "usage_absurd"
    USAGE_NEGATIVE = "usage_negative"
    SLOW = "slow"
    REFUSAL = "refusal"
    LENGTH = "length"
    SCHEMA = "schema"


FAILURES = {kind.value: kind for kind in FailureKind}
TROUBLES = {kind.value: kind for kind in Trouble}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong, for the requests that match.

    `kind` is a value of `FailureKind` or `Trouble`. `protocol`, `model` and the API `key` are shell
    patterns. `probability` is per matching request; `times` ends
    the fault after so many hits, None means until it is changed. `wait_s` is the wait that an error
    asks for, None for no hint. `delay_s` is what `slow` adds, and the time between two bytes of
    `drip`.
    """

    kind: str
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    protocol: str = "*"
    model: str = "*"
    key: str = "*"
    wait_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0

    def __post_init__(self) -> None:
        if self.failure is None and self.trouble is None:
            kinds = ", ".join((*FailureKind, *Trouble))
            raise ValueError(f"kind {self.kind!r} is none of {kinds}")

    @property
    def failure(self) -> FailureKind | None:
        """The error that is answered, None where something else goes wrong."""
        return FAILURES.get(self.kind)

    @property
    def trouble(self) -> Trouble | None:
        """What goes wrong other than an error that is answered."""
        return TROUBLES.get(self.kind)


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

    def draw(self, protocol: str, model: str, key: str) -> Fault | None:
        """Return what happens to this request, None for nothing; counts `times` down."""
        for index, fault in enumerate(self._faults):
            left = self._left[index]
            if left == 0 or not _matches(fault, protocol, model, key):
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
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


def _matches(fault: Fault, protocol: str, model: str, key: str) -> bool:
    return all(
        pattern == "*" or fnmatchcase(name, pattern)
        for name, pattern in ((protocol, fault.protocol), (model, fault.model), (key, fault.key))
    )
