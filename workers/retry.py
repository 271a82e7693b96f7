"""What follows a failed attempt: another one, a pause of the whole pool, or the job's failure.

One policy for all protocols. Nothing here waits or counts: attempts are counted in the database, and
the gate makes a pool pause.
"""

from dataclasses import dataclass

from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_base, wait_random, wait_random_exponential

from jobs.errors import (
    ConnectFailed,
    Overloaded,
    Permanent,
    ProviderError,
    ProviderUnusable,
    RateLimited,
)


@dataclass(frozen=True, slots=True)
class Retry:
    """Call again for this job, not before `wait_s` from now."""

    wait_s: float
    counts: bool
    """Whether the failed attempt is one of those that a job has."""


@dataclass(frozen=True, slots=True)
class PausePool:
    """Start no call of the pool for `wait_s`. The job is not to blame: no attempt of it is used up."""

    wait_s: float
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """The job is over, with this error code."""

    code: str


Step = Retry | PausePool | Fail


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long where the server has no wish of its own; its wishes have bounds."""

    max_attempts: int = 5
    first_wait_s: float = 1.0
    """The ceiling of the first wait, doubled with each further attempt."""
    max_wait_s: float = 60.0
    """The ceiling of all waits between two attempts."""
    limited_pause_s: float = 5.0
    """After a 429: long enough for a bucket to refill a little; the gate learns the rest."""
    unreachable_pause_s: float = 5.0
    """After a failed connection: an outage, or a moment's trouble that must not stop a fleet."""
    overload_pause_s: float = 10.0
    """After an overload: asking again within 5 to 30 s finds its end soon and doesn't prolong it."""
    unusable_pause_s: float = 300.0
    """For a key, permission or quota that a person has to see to; then one more call asks."""
    max_pause_s: float = 3_600.0
    """The longest pause that a limited or overloaded provider may ask for."""
    max_unusable_pause_s: float = 86_400.0
    """The longest pause for a quota: those of the day are back the next day."""


def next_step(error: ProviderError, counted_attempts: int, policy: RetryPolicy) -> Step:
    """Return what follows `error`.

    Args:
        error: how the attempt ended.
        counted_attempts: the job's counted attempts before this one.
        policy: how often and how long.
    """
    match error:
        case Permanent():
            return Fail(error.code)
        case RateLimited():
            return PausePool(_pause_s(error, policy.limited_pause_s, policy.max_pause_s))
        case ConnectFailed():
            return PausePool(_pause_s(error, policy.unreachable_pause_s, policy.max_pause_s))
        case Overloaded():
            return PausePool(_pause_s(error, policy.overload_pause_s, policy.max_pause_s))
        case ProviderUnusable():
            longest_s = policy.max_unusable_pause_s
            return PausePool(_pause_s(error, policy.unusable_pause_s, longest_s))
        case _ if counted_attempts + 1 >= policy.max_attempts:
            return Fail(error.code)
        case _:
            return Retry(_retry_s(error, counted_attempts, policy), counts=True)


def _retry_s(error: ProviderError, counted_attempts: int, policy: RetryPolicy) -> float:
    """Return the wait before the next attempt: full jitter, so that no herd forms."""
    backoff = wait_random_exponential(multiplier=policy.first_wait_s, max=policy.max_wait_s)
    wish_s = min(error.wait_s or 0.0, policy.max_wait_s)
    return max(_drawn_s(backoff, counted_attempts + 1), wish_s)


def _pause_s(error: ProviderError, usual_s: float, longest_s: float) -> float:
    """Return the pool's pause: the server's wish within bounds, else the usual one with jitter.

    The jitter parts the workers that see the same failure, and several pools of one provider.
    """
    if error.wait_s is not None:
        return min(error.wait_s, longest_s)
    return _drawn_s(wait_random(usual_s / 2, usual_s), 1)


def _drawn_s(strategy: wait_base, attempt_number: int) -> float:
    """Return the wait that one of tenacity's strategies draws for an attempt, counted from 1."""
    state = RetryCallState(_RETRYING, None, (), {})
    state.attempt_number = attempt_number
    return float(strategy(state))


_RETRYING = Retrying()
"""Never run: tenacity's strategies want the state of a retrying object, of which they read a number."""
