"""The gate's interface: when may a call to a pool leave?"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from jobs.errors import ProviderError
from jobs.exchange import Usage

BLOCKED_PATIENCE_S = 5.0
"""So long a call waits at the gate for a pool that is blocked, however patient it is for pace."""


class PoolId(NamedTuple):
    """A quota: a pool of a provider."""

    provider: str
    pool: str


class Ask(msgspec.Struct, frozen=True):
    """One call that wants to leave, with what it is expected to use.

    Any usable pool of the provider may serve it. `input_tokens` is estimated, `output_tokens`
    predicted; `max_output_tokens` is the request's bound, `priority` a `jobs.states.Priority`.
    `renew` returns the same ask as it would be put now: whoever waits long was foretold long ago.
    One that `is_resumed` goes before the others of its priority: a call for the job had left before.
    """

    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    priority: str
    renew: "Callable[[], Ask] | None" = None
    is_resumed: bool = False


class Grant(msgspec.Struct, frozen=True):
    """The call may leave at `start_at` (the event loop's time, seconds); to be settled exactly once.

    A probe is the one call that finds out whether a pool that was in trouble works again.
    """

    ask: Ask
    pool: PoolId
    start_at: float
    is_probe: bool = False


class ComeBack(msgspec.Struct, frozen=True):
    """No start within the asker's patience: ask again in `wait_s` seconds.

    `reason` is a sentence for the operator. `is_blocked` tells a pause, an open breaker or a lost
    Redis from mere pace.
    """

    wait_s: float
    reason: str
    is_blocked: bool = False


class Reading(msgspec.Struct, frozen=True):
    """What a reply's headers say of one dimension's limit; None where they say nothing credible.

    `dimension` is "requests", "tokens", "input_tokens", "output_tokens" or "project_tokens".
    `reset_s` counts the seconds until all of the limit is there again. `period_s` is the limit's
    window where a header's name tells it; None leaves it to be inferred.
    """

    dimension: str
    limit: int | None
    remaining: int | None
    reset_s: float | None
    period_s: float | None = None


class Ending(msgspec.Struct, frozen=True):
    """How a granted call ended. Of one that was not `sent`, everything is given back.

    `usage` is that of a good answer; `error` is None for one. `spares_pool` says of an error that it
    tells nothing about the pool: the job has failed before, while others were answered, or one key of
    several was refused. A call that was `cut_off`, by us, has no end that anybody knows.
    """

    sent: bool
    usage: Usage | None = None
    error: ProviderError | None = None
    latency_s: float | None = None
    readings: tuple[Reading, ...] = ()
    spares_pool: bool = False
    cut_off: bool = False


class Gate(Protocol):
    """The fleet-wide pacing of all pools, asked by every worker process."""

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        """Return when the call may leave, or when to ask again if that is not within `patience_s`.

        Waits in this process's queue, by priority, then resumed ones, then in order; for a blocked
        pool no longer than `BLOCKED_PATIENCE_S`. A Redis that doesn't answer is a `ComeBack`, too.
        What was granted to an asker that was cancelled is given back.
        """

    def settle(self, grant: Grant, ending: Ending) -> None:
        """Tell how a granted call ended; never waits."""

    async def close(self) -> None:
        """Tell what is left to tell and close the connection to the shared state."""
