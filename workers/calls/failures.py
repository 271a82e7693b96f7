"""What HTTP's ways to fail mean for a call: our error for each of httpx's."""

import httpx

from jobs.errors import ConnectFailed, ConnectionLost, MalformedReply, ProviderError, TimedOut
from workers.calls.transport import ReplyTooLarge


def failure_of(error: Exception, deadline_s: float) -> ProviderError:
    """Return our error for one of httpx's. Only what is certain counts as never sent.

    The sentences go into results: they don't show the address, which is the operator's matter.
    """
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout():
            return ConnectFailed(_because("no connection to the provider could be made", error))
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return ConnectFailed("the provider's base_url can't be called")
        case ReplyTooLarge():
            return MalformedReply(str(error))
        case httpx.TimeoutException():
            return TimedOut("the provider did not answer in time")
        case TimeoutError():
            return TimedOut(f"no complete answer within {deadline_s:g} s")
        case _:
            lost = "the connection to the provider was lost before the answer was complete"
            return ConnectionLost(_because(lost, error))


def _because(what: str, error: Exception) -> str:
    """Return the sentence with the transport's reason, where it has one."""
    return f"{what}: {reason}" if (reason := str(error)) else what
