"""The gate's interface: when may a call to a pool leave?"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from jobs.exchange import Usage


class PoolId(NamedTuple):
    """A quota: a pool of a provider."""

    provider: str
    pool: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One call that wants to leave, with what it is expected to use."""

    pool: PoolId
    model: str
    input_tokens: int
    max_output_tokens: int
    priority: str


@dataclass(frozen=True, slots=True)
class Grant:
    """The call may leave in `wait_s` seconds from the reply; it is to be settled."""

    ask: Ask
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ComeBack:
    """Nothing can be granted within the gate's horizon: ask again in `wait_s` seconds."""

    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
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


class Gate(Protocol):
    """The fleet-wide pacing of all pools, asked by every worker process."""

    async def ask(self, ask: Ask) -> Grant | ComeBack:
        """Return when the call may leave; `ComeBack` also while the shared state can't be reached."""

    async def settle(self, grant: Grant, usage: Usage | None) -> None:
        """Tell what a granted call really used; None if it used nothing or nobody knows."""

    async def pause(self, pool: PoolId, wait_s: float, reason: str) -> None:
        """Let nothing to this pool leave for `wait_s` seconds, in any process."""

    async def close(self) -> None:
        """Close the connection to the shared state."""
