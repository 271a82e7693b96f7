"""How calls fail: at a provider, and for somebody who waits for the answer of a live one."""

from collections.abc import Mapping

from jobs.errors.root import TidemillError


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
