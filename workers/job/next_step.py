"""What follows a failed attempt: another one, now or when the gate lets it, or the job's failure.

One policy for all protocols. Nothing here waits or counts: attempts are counted in the database, and
how long a pool pauses is the gate's matter.
"""

from dataclasses import dataclass

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base, wait_random_exponential

from jobs.errors import (
    ConnectFailed,
    Overloaded,
    Permanent,
    ProviderError,
    ProviderUnusable,
    RateLimited,
    SchemaRefused,
)

_PROVIDERS_OWN = (RateLimited, Overloaded, ConnectFailed, ProviderUnusable)
"""Errors that no job can be to blame for."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Call again for this job, not before `wait_s` from now: one of its attempts is used up."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Ask the gate, which knows what the pool needs. The job is not to blame: no attempt is used up."""


@dataclass(frozen=True, slots=True)
class Fail:
    """The job is over, with this error code."""

    code: str


Step = Retry | AskAgain | Fail


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long where the server has no wish of its own; its wishes have bounds."""

    max_attempts: int = 5
    first_wait_s: float = 1.0
    """The ceiling of the first wait, doubled with each further attempt."""
    max_wait_s: float = 60.0
    """The ceiling of all waits between two attempts."""


def is_doubtful(error: ProviderError) -> bool:
    """Return whether the job may be as much to blame for `error` as the provider."""
    return not isinstance(error, (Permanent, *_PROVIDERS_OWN))


def next_step(
    error: ProviderError, counted_attempts: int, policy: RetryPolicy, *, is_blameless: bool = False
) -> Step:
    """Return what follows `error`.

    Args:
        error: how the attempt ended.
        counted_attempts: the job's counted attempts before this one.
        policy: how often and how long.
        is_blameless: of a doubtful error, that its pool is known to be in trouble.
    """
    match error:
        case SchemaRefused() if counted_attempts + 1 < policy.max_attempts:
            # Nothing is to be waited for: the next call asks in words.
            return Retry(0.0)
        case Permanent():
            return Fail(error.code)
        case _ if is_blameless or not is_doubtful(error):
            return AskAgain()
        case _ if counted_attempts + 1 >= policy.max_attempts:
            return Fail(error.code)
        case _:
            return Retry(_retry_s(error, counted_attempts, policy))


def _retry_s(error: ProviderError, counted_attempts: int, policy: RetryPolicy) -> float:
    """Return the wait before the next attempt: full jitter, so that no herd forms."""
    backoff = wait_random_exponential(multiplier=policy.first_wait_s, max=policy.max_wait_s)
    wish_s = min(error.wait_s or 0.0, policy.max_wait_s)
    return max(_drawn_s(backoff, counted_attempts + 1), wish_s)


def _drawn_s(strategy: wait_base, attempt_number: int) -> float:
    """Return the wait that one of tenacity's strategies draws for an attempt, counted from 1."""
    state = RetryCallState(_RETRYING, None, (), {})
    state.attempt_number = attempt_number
    return float(strategy(state))


_RETRYING = Retrying()
"""Never run: tenacity's strategies want the state of a retrying object, of which they read a number."""
