"""What a submission can be refused for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.errors.root import TidemillError


class SubmissionError(TidemillError):
    """The submission can't be accepted; nothing of it was stored."""

    code = "invalid_submission"


@dataclass(frozen=True, slots=True)
class LineFault:
    """What is wrong with one line of a submission.

    `line` counts from 1, blank lines included; `field` is a path such as `messages[0].role`, empty
    where the whole line is at fault. `column` is where the line stopped making sense, from 1; 0
    where it does.
    """

    line: int
    code: str
    field: str
    message: str
    column: int = 0


REPORTED_FAULTS = 100
"""Faults of one request that are described; more are only counted."""


class InvalidSubmission(SubmissionError):
    """Some lines of the submission are not valid jobs."""

    code = "invalid_jobs"

    def __init__(
        self, message: str | None = None, *, faults: Sequence[LineFault] = (), fault_count: int = 0
    ) -> None:
        super().__init__(message)
        self.faults = tuple(faults)
        self.fault_count = max(fault_count, len(self.faults))


class SubmissionTooLarge(SubmissionError):
    """The submission exceeds a size limit."""

    code = "submission_too_large"


class BodyTooLarge(SubmissionTooLarge):
    """The body is larger than one may be."""

    code = "body_too_large"


class LineTooLong(SubmissionTooLarge):
    """A line of the submission is longer than one may be."""

    code = "line_too_long"


class TooManyJobs(SubmissionTooLarge):
    """The submission has more jobs than a batch may have."""

    code = "too_many_jobs"


class UnreadableBody(SubmissionError):
    """The body can't be read as what it says it is; the code says as what.

    `line` and `column` count from 1, 0 where they aren't known.
    """

    code = "invalid_json"

    def __init__(self, message: str, code: str, *, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.line = line
        self.column = column


class WrongFormat(SubmissionError):
    """The body is in another of the formats than its content-type says."""

    code = "wrong_format"


class InvalidForm(SubmissionError):
    """The body is no form with a file in it."""

    code = "invalid_form"


class InvalidColumns(SubmissionError):
    """The columns of the sheet can't become jobs."""

    code = "invalid_columns"


class SourceNotAllowed(SubmissionError):
    """The server may not read a submission from there."""

    code = "source_not_allowed"


class UnreadableSource(SubmissionError):
    """What the server was told to read can't be read by it."""

    code = "unreadable_source"


class UnusableRow(UnreadableSource):
    """A row of a pipeline's source can't be named, however often it is read."""


class EmptySubmission(SubmissionError):
    """The submission holds no jobs."""

    code = "empty_body"


class UnsupportedMedia(SubmissionError):
    """The body's type or encoding is not one that can be read."""

    code = "unsupported_media_type"


class UnsupportedEncoding(UnsupportedMedia):
    """The body is packed in a way that can't be unpacked."""

    code = "unsupported_encoding"


class InvalidParameter(SubmissionError):
    """A parameter of the request is not what it must be; `field` is its name, empty if it has none."""

    code = "invalid_parameter"

    def __init__(self, message: str | None = None, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidCursor(InvalidParameter):
    """The cursor is none that this list gave out; expected a `next_cursor` of an earlier answer."""

    code = "invalid_cursor"


class BudgetTooSmall(SubmissionError):
    """The budget has no room for even the cheapest job of the submission."""

    code = "budget_too_small"


class DeadlineUnreachable(SubmissionError):
    """The jobs can't be ready by the deadline at the limits there are; `told` says it to programs."""

    code = "deadline_unreachable"

    def __init__(
        self, message: str | None = None, *, told: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.told = dict(told or {})


class UnknownModel(SubmissionError):
    """No route and no provider of the configuration serves this model."""

    code = "unknown_model"

    def __init__(
        self, model: str, closest: tuple[str, ...] = (), *, has_providers: bool = True
    ) -> None:
        expected = (
            f"did you mean {', '.join(closest)}?"
            if closest
            else "expected a route, PROVIDER/NAME, or a name that a provider's `models` match"
        )
        if not has_providers:
            expected = "no provider is configured at all: name one in tidemill.toml and start again"
        super().__init__(f"no provider serves the model {model[:80]!r}; {expected}")
        self.model = model
        self.closest = closest
