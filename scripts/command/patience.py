"""Sending a request again until it is answered, and how that is told. What is worth it, the client knows."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying

from jobs.errors import TidemillError
from scripts.command.ending import say
from tidemill.patience import may_help, patience

T = TypeVar("T")


def persist(attempt: Callable[[], T], *, retry_for_s: float, is_quiet: bool) -> T:
    """Return what `attempt` returns, which is called again while that may help.

    Args:
        attempt: sends an upload, and is harmless to repeat.
        retry_for_s: how long to wait altogether; the time of the attempts themselves does not count.
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

    def judge(error: BaseException) -> bool:
        return error.__cause__ is not None and may_help(error.__cause__, is_upload=True)

    return Retrying(**patience(retry_for_s, judge), before_sleep=tell)(attempt)
