"""What a kind of job is: how a line becomes calls, and how their answers are checked and joined."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from jobs.exchange import Answer, ModelRequest


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong with one field of a line; `field` is a path such as `messages[0].role`.

    `column` is the byte of the line, from 1, where it stopped making sense; 0 where it does.
    """

    code: str
    field: str
    message: str
    column: int = 0


class Remedy(StrEnum):
    """What may bring a better answer; whether it is tried is the batch's matter."""

    TELL = "tell"
    """Asking the same model again, with its answer and what is wrong with it."""
    ASK = "ask"
    """Asking the same model again as if for the first time: chance decided."""
    RAISE = "raise"
    """Allowing more output tokens."""
    TURN = "turn"
    """Another model: this one will not."""


class Good(msgspec.Struct, frozen=True):
    """The answer is what was asked for.

    `output` is a text, or the value of a JSON answer. `mended` says what was wrong with the answer
    before it was put right here, without asking anybody; None if nothing was.
    """

    output: Any
    mended: str | None = None


class Bad(msgspec.Struct, frozen=True):
    """The answer is not usable, for this reason; `remedy` is what may bring a better one."""

    code: str
    message: str
    remedy: Remedy = Remedy.TELL


Verdict = Good | Bad


class Plan(ABC):
    """The calls that one line takes, in order, and what becomes of their answers. Pure.

    Most lines take one. A text that is too long for one call is asked for in parts; `kept` are the
    outputs of the good answers up to now, one for each part, and everything follows from them and the
    line: a worker that takes a job over goes on at the part where the last one stopped.
    """

    @property
    @abstractmethod
    def requests(self) -> tuple[ModelRequest, ...]:
        """The request of each part, at least one, as far as it is known before anything was answered."""

    @property
    def judged_by(self) -> Any:
        """What verdicts depend on beside the requests: plans are the same if these are, too."""
        return None

    @property
    def head_characters(self) -> int:
        """With how many characters the first message begins that it has in common with other jobs.

        Prompt caches go by it, so fewer than there are is no fault.
        """
        return 0

    @property
    def wants_variety(self) -> bool:
        """Whether the same request is meant to bring another answer each time."""
        return any((request.temperature or 0.0) > 0.0 for request in self.requests)

    def request(self, kept: Sequence[Any]) -> ModelRequest:
        """Return what to ask next; `kept` is shorter than `requests`."""
        return self.requests[len(kept)]

    @abstractmethod
    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Say whether the answer to `request(kept)` is what was asked for."""

    def join(self, kept: Sequence[Any]) -> Verdict:
        """Return the job's output, once all parts have theirs."""
        return Good(kept[0])

    def recheck(self, output: Any, was: "Plan") -> Verdict | None:
        """Say whether the job's output, which `was` has brought, is what this plan asks for.

        `was` is the plan of the same line with other defaults. None where the output doesn't tell: then
        the job is asked for again.
        """
        return None


class Kind(Protocol):
    """One kind of job: a small class in a file of its own, listed in `KINDS`.

    A kind is pure: it knows lines, requests and answers, and nothing of rows or providers.
    """

    @property
    def name(self) -> str:
        """What `kind` says in a line."""
        ...

    @property
    def line_type(self) -> type[Any]:
        """The `msgspec.Struct` of its lines, with `custom_id`, `kind` and `model` among the fields.

        Unknown fields are forbidden. A field that may be absent has a default; one that the batch's
        defaults may fill has the same name there.
        """
        ...

    def check(self, line: Any) -> FieldFault | None:
        """Return what is wrong between the fields of a line, each of which is fine by itself."""
        ...

    def plan(self, line: Any) -> Plan:
        """Return the calls of a checked line."""
        ...
