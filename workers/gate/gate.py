"""The gate's interface: when may a call to a pool leave?"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from jobs.errors import ProviderError
from jobs.exchange import Usage


class PoolId(NamedTuple):
    """A quota: a pool of a provider."""

    provider: str
    pool: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One call that wants to leave: any of the provider's usable pools may serve it.

    `input_tokens` is the estimate, already corrected by what this (provider, model) has shown;
    `output_tokens` predicts what will really be produced; `max_output_tokens` is the request's
    bound. `priority` is a value of `jobs.states.Priority`.
    """

    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    priority: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The call may leave at `start_at` (the event loop's time, seconds); to be settled exactly once."""

    ask: Ask
    pool: PoolId
    start_at: float
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class ComeBack:
    """No start within the asker's patience: ask again in `wait_s` seconds.

    `reason` is one sentence that an operator understands. `is_blocked` tells a pause, an open
    breaker or a lost Redis from limits that merely make the call wait.
    """

    wait_s: float
    reason: str
    is_blocked: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One dimension's rate header, as the provider says it.

    `dimension` is "requests", "tokens", "input_tokens", "output_tokens" or "project_tokens".
    `reset_s` is seconds until full again. `period_s` is the limit's window where the header's name
    tells it (mistral "-minute", cerebras "-day"); None leaves it to be inferred.
    """

    dimension: str
    limit: int | None
    remaining: int | None
    reset_s: float | None
    period_s: float | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a granted call ended. Not `sent`: it never left, and what was taken is given back."""

    sent: bool
    usage: Usage | None = None
    error: ProviderError | None = None
    latency_s: float | None = None
    readings: tuple[Reading, ...] = ()


class Gate(Protocol):
    """The fleet-wide pacing of all pools, asked by every worker process."""

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        """Wait in this process's queue, by priority and then in order, for a start.

        `ComeBack` if the known wait exceeds `patience_s`, or the pool is blocked for longer than
        that. Never raises for trouble with Redis. A grant for a cancelled asker is given back.
        """

    def settle(self, grant: Grant, ending: Ending) -> None:
        """Tell how a granted call ended; never waits."""

    async def close(self) -> None:
        """Tell what is left to tell and close the connection to the shared state."""
