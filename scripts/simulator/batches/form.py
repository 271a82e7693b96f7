"""What the batches of the four providers have each in its own form, in words that they share."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from scripts.simulator.calls import Call, Failure
from scripts.simulator.replies import Reply


class Phase(StrEnum):
    """Where a batch stands."""

    VALIDATING = "validating"
    RUNNING = "running"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


ENDED = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.EXPIRED, Phase.CANCELLED})


class Line(NamedTuple):
    """A line of a batch, read; one that could not be has a failure instead of a call."""

    custom_id: str
    call: Call | None
    failure: Failure | None = None


class Problem(NamedTuple):
    """Why a batch is not taken once it was looked at; `line` counts from 1, None is for the whole."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Form(Protocol):
    """What a provider's module offers to a batch of its own."""

    protocol: str
    id_field: str
    """Where a line of results has the client's name for it."""
    expires_s: float
    keeps_expired: bool
    """Whether a batch that has expired has the results that it had by then."""
    checks_tokens_late: bool
    """Whether too many enqueued tokens fail the batch, instead of refusing to create it."""

    def name(self, number: int) -> str:
        """Return what the provider calls its batch of that number."""

    def result(self, custom_id: str, status: int, body: Any, number: int) -> dict[str, Any]:
        """Return a line of results: an answer (status 200), or an error in the provider's shape."""

    def is_apart(self, status: int) -> bool:
        """Whether a result of this status is in the file of errors."""

    def unrun(self, custom_id: str, phase: Phase) -> dict[str, Any] | None:
        """Return the line for what was not run when a batch expired or was cancelled, None for no line."""


class Refused(Exception):
    """The provider answers with an error of its own making."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Done(NamedTuple):
    """What was asked for was done; `rows` are the ledger's for the results that the reply holds."""

    reply: Reply
    rows: Sequence[int] = ()
