"""Everything that can go wrong, as one tree.

    TidemillError
      ConfigurationError
      SubmissionError
        InvalidSubmission
        EmptySubmission
        UnreadableBody
        WrongFormat
        InvalidForm
        InvalidColumns
        SourceNotAllowed
        UnreadableSource
        SubmissionTooLarge
          BodyTooLarge
          LineTooLong
          TooManyJobs
        UnsupportedMedia
          UnsupportedEncoding
        InvalidParameter
          InvalidCursor
        BudgetTooSmall
        UnknownModel
      NotAuthorised
      InsufficientScope
      TooManyGuesses
      CrossSite
      NotFound
      Conflict
        IllegalTransition
        LeaseLost
        DuplicateCustomId
        RequestInProgress
        IdempotencyKeyReused
      SchemaMismatch
      ServiceUnavailable
        StorageFull
      LiveCallError
        OverBudget
        NoPace
        NoTarget
        CallRejected
        CallFailed
      ProviderError
        Transient
          RateLimited
          Overloaded
          ServerFailed
          TimedOut
          ConnectFailed
          ConnectionLost
          MalformedReply
          CallBrokeDown
        Permanent
          RequestRejected
            SchemaRefused
          ContextTooLong
        ProviderUnusable
          AuthenticationFailed
          AccessForbidden
          QuotaExhausted

Each docstring is one sentence that also serves as the default message.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class TidemillError(Exception):
    """Something went wrong in Tidemill."""

    code = "internal_error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())

    @property
    def message(self) -> str:
        """The sentence that a person reads."""
        return str(self.args[0])


class ConfigurationError(TidemillError):
    """The configuration can't work as it is written."""

    code = "invalid_configuration"


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


class NotAuthorised(TidemillError):
    """A valid API key is needed: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`."""

    code = "unauthorised"


class InsufficientScope(TidemillError):
    """This API key may not do that."""

    code = "insufficient_scope"

    def __init__(self, needed: str) -> None:
        super().__init__(f"this API key lacks the scope `{needed}`")
        self.needed = needed


class TooManyGuesses(TidemillError):
    """Too many unknown API keys came from this address; try again later."""

    code = "too_many_guesses"

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait_s = wait_s


class CrossSite(TidemillError):
    """A page of another site may not do this: send the request from a program, or from here."""

    code = "cross_site"


class NotFound(TidemillError):
    """There is no such thing in this project."""

    code = "not_found"


class Conflict(TidemillError):
    """The request does not fit the present state."""

    code = "conflict"


class IllegalTransition(Conflict):
    """The batch is not in a state that allows this."""

    code = "illegal_transition"


class LeaseLost(Conflict):
    """This worker no longer owns its slice."""

    code = "lease_lost"


class DuplicateCustomId(Conflict):
    """A custom_id is there already in this batch."""

    code = "duplicate_custom_id"


class RequestInProgress(Conflict):
    """Another request with this Idempotency-Key is in progress; ask again for its answer."""

    code = "request_in_progress"


class IdempotencyKeyReused(Conflict):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


class SchemaMismatch(TidemillError):
    """The database's schema is not the one that this version works with."""

    code = "schema_mismatch"


class ServiceUnavailable(TidemillError):
    """A service that is needed does not answer; try again shortly."""

    code = "service_unavailable"


class StorageFull(ServiceUnavailable):
    """The disk is full; nothing can be stored until there is room."""

    code = "storage_full"


class LiveCallError(TidemillError):
    """A live call has brought no answer; `wait_s` is when it may, where that is known."""

    code = "call_failed"

    def __init__(
        self, message: str | None = None, *, code: str | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.wait_s = wait_s


class OverBudget(LiveCallError):
    """No budget has room for this call: give more, or lower its bound of the output."""

    code = "budget_exhausted"


class NoPace(LiveCallError):
    """The limits have left no start for this call within the time that it may wait."""

    code = "rate_limited"


class NoTarget(LiveCallError):
    """No provider of the model can be used for now."""

    code = "provider_unusable"


class CallRejected(LiveCallError):
    """The provider rejected the call; sent again as it is, it will be rejected again."""

    code = "call_rejected"


class CallFailed(LiveCallError):
    """The call was tried as often as it may be, and brought no usable answer."""


class ProviderError(TidemillError):
    """A provider did not give a usable answer.

    `may_have_run` tells an answer that was lost (it may have been billed) from a request that
    provably never left. `wait_s` is the server's own wish, None where it had none. `provider_code`
    is the provider's word for the error, for people. `headers` are those of the reply, with
    lower-case names, empty where there was none; they are for reading limits from, not for logs.
    """

    code = "provider_error"
    may_have_run = False

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        provider_code: str | None = None,
        request_id: str | None = None,
        wait_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.provider_code = provider_code
        self.request_id = request_id
        self.wait_s = wait_s
        self.headers: Mapping[str, str] = headers or {}


class Transient(ProviderError):
    """Another attempt may work."""

    code = "provider_failed"


class RateLimited(Transient):
    """The provider refused the call because a rate limit was reached."""

    code = "rate_limited"


class Overloaded(Transient):
    """The provider, or the model, is overloaded for everybody."""

    code = "overloaded"


class ServerFailed(Transient):
    """The provider failed while it worked on the call."""

    code = "server_failed"


class TimedOut(Transient):
    """The call took longer than its deadline."""

    code = "timed_out"
    may_have_run = True


class ConnectFailed(Transient):
    """No connection to the provider could be made, so nothing was sent."""

    code = "connect_failed"


class ConnectionLost(Transient):
    """The connection broke after the request was sent, before the answer was complete."""

    code = "connection_lost"
    may_have_run = True


class MalformedReply(Transient):
    """The provider's answer could not be understood."""

    code = "malformed_reply"
    may_have_run = True


class CallBrokeDown(Transient):
    """Tidemill itself failed while it made the call or read its answer; its log says more.

    It counts, or a fault that comes back would be paid for without end.
    """

    code = "internal_error"
    may_have_run = True


class Permanent(ProviderError):
    """This job will never work as it is."""

    code = "rejected"


class RequestRejected(Permanent):
    """The provider rejected the request."""

    code = "request_rejected"


class SchemaRefused(RequestRejected):
    """The provider can't hold its model to the schema; asked for in words, it may answer."""


class ContextTooLong(Permanent):
    """The request does not fit the model's context window."""

    code = "context_too_long"


class ProviderUnusable(ProviderError):
    """The provider can't be used for now, and no job is to blame."""

    code = "provider_unusable"


class AuthenticationFailed(ProviderUnusable):
    """The provider does not accept the key."""

    code = "authentication_failed"


class AccessForbidden(ProviderUnusable):
    """The key may not use this model, or not from here."""

    code = "access_forbidden"


class QuotaExhausted(ProviderUnusable):
    """The account's quota or spend limit at the provider is used up."""

    code = "quota_exhausted"
