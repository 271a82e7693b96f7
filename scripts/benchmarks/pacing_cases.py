"""What is paced: a limit, how it is charged, how much the provider lets burst, by how many processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

THINKS_S = 0.5
THINKS = "uniform:500,30"
"""The latency, in the simulator's words: 500 ms, 30 % up or down."""

OTHERS_RPS = 20.0
"""What other software takes of a shared key: two fifths of the 3,000 requests a minute."""


class Way(StrEnum):
    """Who keeps to the limit."""

    OURS = "tidemill"
    EACH = "bucket each"
    """A plain token bucket in each process, with the whole limit: the usual mistake."""
    SHARED_OUT = "bucket 1/N"
    """A plain token bucket in each process, with its part of the limit."""


class Known(StrEnum):
    """How our side knows of the limit."""

    CONFIGURED = "configured"
    HEADERS = "headers"
    """Not configured; the provider's headers tell it."""
    LYING = "headers +10 %"
    """Not configured; the headers tell 10 % more than is allowed."""
    UNKNOWN = "nothing"
    """Neither configured nor told: it has to be found."""
    SHARED = "configured, key shared"
    """Configured, and other software uses the key as well; headers tell what is left."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit. `tokens_per_call` is about what a call takes of `dimension`, 1 for requests.

    `concurrency` and `queue_above` limit calls at once: above the one they are refused, above the other
    they wait for their turn, as at a server of one's own.
    """

    name: str
    protocol: str
    dimension: str
    limits: tuple[tuple[str, int], ...]
    tokens_per_call: int

    @property
    def calls_s(self) -> float:
        """About how many calls a second it allows."""
        if self.dimension in AT_ONCE:
            return dict(self.limits)[self.dimension] / THINKS_S
        return dict(self.limits)[self.dimension] / 60 / self.tokens_per_call


AT_ONCE = ("concurrency", "queue_above")

QUOTAS = {
    quota.name: quota
    for quota in (
        Quota("rpm", "openai", "rpm", (("rpm", 3000),), 1),
        Quota("tpm, max_tokens up front", "openai", "tpm", (("tpm", 600_000),), 325),
        Quota(
            "otpm, real output", "anthropic", "otpm", (("itpm", 3_000_000), ("otpm", 300_000)), 110
        ),
    )
}

AT_ONCE_ALLOWED = Quota("50 at once", "openai", "concurrency", (("concurrency", 50),), 1)
WAITS_ABOVE = Quota("50 at once, others wait", "openai", "queue_above", (("queue_above", 50),), 1)


@dataclass(frozen=True, slots=True)
class PacingCase:
    """One thing to measure."""

    quota: Quota
    burst_s: float
    workers: int
    way: Way = Way.OURS
    known: Known = Known.CONFIGURED

    def enforced(self) -> dict[str, Any]:
        """The limit as the simulator is told it."""
        return {
            **dict(self.quota.limits),
            "burst_s": self.burst_s,
            "start": "empty",
            "headers": self.known is not Known.UNKNOWN,
            "header_factor": 1.1 if self.known is Known.LYING else 1.0,
            "foreign_rps": self.others_rps,
        }

    @property
    def others_rps(self) -> float:
        """The calls a second of other software with the same key."""
        return OTHERS_RPS if self.known is Known.SHARED else 0.0

    @property
    def is_told(self) -> bool:
        """Whether our side was configured to know the limit."""
        return self.known in (Known.CONFIGURED, Known.SHARED)

    def __str__(self) -> str:
        known = "" if self.known is Known.CONFIGURED else f", {self.known}"
        return (
            f"{self.way}, {self.quota.name}{known}, burst {self.burst_s:g} s, {self.workers} proc."
        )


@dataclass(frozen=True, slots=True)
class PacingPlan:
    """The combinations to measure; `only` picks those whose title has these words.

    The first `warm_up_s` seconds are not looked at: calls start half a second before the first ends.
    """

    quotas: Sequence[str] = tuple(QUOTAS)
    bursts_s: Sequence[float] = (1.0, 60.0)
    workers: Sequence[int] = (1, 4)
    seconds: int = 60
    warm_up_s: int = 10
    only: str = ""

    def cases(self) -> list[PacingCase]:
        """Return the cases."""
        return [case for case in self._all() if self.only in str(case)]

    def _all(self) -> Iterator[PacingCase]:
        """Yield ours and the plain ones for each combination, then what is shared or not configured."""
        for name, burst_s, count in product(self.quotas, self.bursts_s, self.workers):
            quota = QUOTAS[name]
            yield PacingCase(quota, burst_s, count)
            if quota.protocol == "openai" and count > 1:
                yield PacingCase(quota, burst_s, count, Way.EACH)
                yield PacingCase(quota, burst_s, count, Way.SHARED_OUT)
        most = max(self.workers)
        for known in (Known.HEADERS, Known.LYING, Known.UNKNOWN, Known.SHARED):
            yield PacingCase(QUOTAS["rpm"], 60.0, most, known=known)
        for known in (Known.CONFIGURED, Known.UNKNOWN):
            yield PacingCase(AT_ONCE_ALLOWED, 60.0, most, known=known)
        yield PacingCase(WAITS_ABOVE, 60.0, most, known=Known.UNKNOWN)


SMALL_PACING = PacingPlan(
    quotas=("rpm",),
    bursts_s=(1.0,),
    workers=(1,),
    seconds=6,
    warm_up_s=3,
    only="tidemill, rpm, burst",
)
"""What CI runs: that no call is refused, not how much is used."""
