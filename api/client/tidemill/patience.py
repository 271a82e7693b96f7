"""Sending a request again until it is answered: what is worth it, and how long."""

import http
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
from tenacity import RetryCallState, retry_if_exception
from tenacity.wait import wait_exponential_jitter

from .errors import TidemillError

STATUSES = frozenset(
    {
        http.HTTPStatus.BAD_GATEWAY,
        http.HTTPStatus.SERVICE_UNAVAILABLE,
        http.HTTPStatus.GATEWAY_TIMEOUT,
    }
)

_PAUSE = wait_exponential_jitter(multiplier=0.5, max=4.0, jitter=0.5)
"""Seconds between two attempts; a restarted server is noticed within a few."""

LONGEST_WISH_S = 30.0
"""Of a `Retry-After`; a proxy's may be hours."""

Judge = Callable[[BaseException], bool]


def patience(retry_for_s: float, judge: Judge) -> dict[str, Any]:
    """Return how tenacity tries again while `judge` says of the error that it may help.

    `retry_for_s` is how long to wait altogether; the time of the attempts themselves does not count,
    so that an upload of half an hour is tried again as well.
    """
    return {
        "retry": retry_if_exception(judge),
        "wait": _pause_s,
        "stop": lambda state: state.idle_for + state.upcoming_sleep > retry_for_s,
        "reraise": True,
    }


def judge_of(*, is_upload: bool) -> Judge:
    """Return the judge of requests that are harmless to repeat, with an upload or without."""
    return partial(may_help, is_upload=is_upload)


def may_help(error: BaseException, *, is_upload: bool) -> bool:
    """Return whether the same request may be answered otherwise soon.

    An upload that was silent for long is refused as a conflict; nothing else that conflicts passes.
    """
    if not isinstance(error, TidemillError):
        return False
    if error.status is None:
        return _is_lost(error.__cause__)
    if error.status == http.HTTPStatus.CONFLICT:
        return is_upload or error.code == "request_in_progress"
    return error.status in STATUSES


def _is_lost(cause: BaseException | None) -> bool:
    is_our_fault = isinstance(cause, (httpx.LocalProtocolError, httpx.UnsupportedProtocol))
    return isinstance(cause, httpx.TransportError) and not is_our_fault


def _pause_s(state: RetryCallState) -> float:
    """Return the pause before the next attempt: the server's wish, if it has one and it is longer."""
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, TidemillError):  # who calls us has words of its own
        error = error.__cause__ if error else None
    wish_s = (error.retry_after_s or 0.0) if isinstance(error, TidemillError) else 0.0
    return max(_PAUSE(state), min(wish_s, LONGEST_WISH_S))
