"""Everything that a request can end with, as one tree.

    TidemillError
      ConfigurationError
      SubmissionError
        InvalidSubmission
        SubmissionTooLarge
      NotAuthorised
      NotFound
      Conflict
      ServiceUnavailable

Each docstring is one sentence that also serves as the default message.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .fixes import FIXES


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong with one line of a submission, or with a parameter.

    `line` counts from 1, blank lines included; 0 where a parameter is at fault. `field` is a path such
    as `messages[0].role`, empty where the whole line is. `column` is where the line stops making
    sense, from 1; 0 where it does.
    """

    line: int
    code: str
    field: str
    message: str
    column: int = 0


class TidemillError(Exception):
    """Something went wrong in Tidemill, or on the way to it.

    `code` is stable, `docs/errors.md` lists them all. `status` is the answer's, None if there was none.
    `retry_after_s` is the server's wish. `faults` are up to a hundred of `fault_count`.
    """

    code = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str = "",
        status: int | None = None,
        faults: Sequence[LineFault] = (),
        fault_count: int = 0,
    ) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])
        self.code = code or type(self).code
        self.status = status
        self.retry_after_s: float | None = None
        self.faults = tuple(faults)
        self.fault_count = max(fault_count, len(self.faults))

    @property
    def message(self) -> str:
        """The sentence that a person reads."""
        return str(self.args[0])

    @property
    def line(self) -> int | None:
        """The first line at fault, counted from 1; None if it is no line's fault."""
        return (self.faults[0].line or None) if self.faults else None

    @property
    def field(self) -> str | None:
        """The first field or parameter at fault."""
        return (self.faults[0].field or None) if self.faults else None

    @property
    def fix(self) -> str:
        """What helps, empty where the message says it already."""
        code = self.faults[0].code if self.faults else self.code
        return FIXES.get(code, FIXES.get(self.code, ""))


class ConfigurationError(TidemillError):
    """The client can't work as it is set up."""

    code = "invalid_configuration"


class SubmissionError(TidemillError):
    """The request can't be accepted; nothing of it was stored."""

    code = "invalid_submission"


class InvalidSubmission(SubmissionError):
    """Some lines of the submission are not valid jobs."""

    code = "invalid_jobs"

    def __str__(self) -> str:
        """Return the sentence with the first fault: a traceback shows nothing else."""
        if not self.faults:
            return self.message
        first = self.faults[0]
        place = ", ".join(filter(None, (f"line {first.line}" if first.line else "", first.field)))
        return f"{self.message} ({place}: {first.message})"


class SubmissionTooLarge(SubmissionError):
    """The submission exceeds a size limit."""

    code = "submission_too_large"


class NotAuthorised(TidemillError):
    """There is no valid API key, or it may not do this."""

    code = "unauthorised"


class NotFound(TidemillError):
    """There is no such thing, or it is another project's."""

    code = "not_found"


class Conflict(TidemillError):
    """The request does not fit the present state."""

    code = "conflict"


class ServiceUnavailable(TidemillError):
    """There is no server, or it can't answer now."""

    code = "service_unavailable"
