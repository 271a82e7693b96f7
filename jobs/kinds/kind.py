"""What a kind of job is: how a line becomes a request, and how the answer is checked."""

from dataclasses import dataclass
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


class Good(msgspec.Struct, frozen=True):
    """The answer is what the job asked for. `output` is a text, or the value of a JSON answer."""

    output: Any


class Bad(msgspec.Struct, frozen=True):
    """The answer is not usable, and the job has failed for this reason."""

    code: str
    message: str


Verdict = Good | Bad


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

    def request(self, line: Any) -> ModelRequest:
        """Return what a checked line asks a model."""
        ...

    def judge(self, line: Any, answer: Answer) -> Verdict:
        """Say whether the answer is what the line asked for."""
        ...
