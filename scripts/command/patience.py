"""Sending a request again until it is answered: what is worth it, how long, and how it is told."""

import http
from collections.abc import Callable
from typing import TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_exponential_jitter

from jobs.errors import TidemillError
from scripts.command.ending import say

T = TypeVar("T")

STATUSES = frozenset(
    {
        http.HTTPStatus.CONFLICT,  # the same key is in progress, or its upload was given up
        http.HTTPStatus.BAD_GATEWAY,
        http.HTTPStatus.SERVICE_UNAVAILABLE,
        http.HTTPStatus.GATEWAY_TIMEOUT,
    }
)

_PAUSE = wait_exponential_jitter(multiplier=0.5, max=4.0, jitter=0.5)
"""Seconds between two attempts; a restarted server is noticed within a few."""

LONGEST_WISH_S = 30.0
"""Of a `Retry-After`; a proxy's may be hours."""


def persist(attempt: Callable[[], T], *, retry_for_s: float, is_quiet: bool) -> T:
    """Return what `attempt` returns, which is called again while that may help.

    Args:
        attempt: harmless to repeat.
        retry_for_s: how long to wait altogether; the time of the attempts themselves does not count,
            so that an upload of half an hour is tried again as well.
        is_quiet: say nothing; otherwise each new reason is a line on stderr.

    Raises:
        TidemillError: the last one, when time is up or another attempt can't help.
    """
    told = ""

    def tell(state: RetryCallState) -> None:
        nonlocal told
        error = state.outcome.exception() if state.outcome else None
        reason = error.message if isinstance(error, TidemillError) else ""
        if reason != told and not is_quiet:
            left_s = retry_for_s - state.idle_for + state.upcoming_sleep
            say(f"{reason.rstrip('.')}; trying again, for up to {left_s:.0f} s")
        told = reason

    retrying = Retrying(
        retry=retry_if_exception(may_help),
        wait=_pause_s,
        stop=lambda state: state.idle_for + state.upcoming_sleep > retry_for_s,
        before_sleep=tell,
        reraise=True,
    )
    return retrying(attempt)


def may_help(error: BaseException) -> bool:
    """Return whether the same request may be answered otherwise soon."""
    match error.__cause__:
        case httpx.HTTPStatusError() as answer:
            return answer.response.status_code in STATUSES
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            return False
        case httpx.TransportError():
            return isinstance(error, TidemillError)
        case _:
            return False


def _pause_s(state: RetryCallState) -> float:
    """Return the pause before the next attempt: the server's wish, if it has one and it is longer."""
    error = state.outcome.exception() if state.outcome else None
    answer = error.__cause__ if error else None
    wish = (
        answer.response.headers.get("retry-after", "")
        if isinstance(answer, httpx.HTTPStatusError)
        else ""
    )
    wish_s = min(float(wish), LONGEST_WISH_S) if wish.isdecimal() else 0.0
    return max(_PAUSE(state), wish_s)
