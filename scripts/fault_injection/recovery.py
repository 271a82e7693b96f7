"""How long it took until work went on after a fault, and whether that is within what is promised."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from scripts.fault_injection.kinds import Kind, Strike

BACK = 0.8
"""Of the pool's limit, in one second: from then on work goes on. A poisson-like second varies."""

BACK_WITHIN_S = 5.0
AGAIN_WITHIN_S = 17.0
"""What is promised: the full rate after a service is back, and a lost worker's calls after the loss."""

SERVICES = frozenset(
    {
        Kind.FLUSH,
        Kind.REDIS_KEPT,
        Kind.REDIS_LOST,
        Kind.REDIS_OLD,
        Kind.BROKER_STALL,
        Kind.BROKER_CUT,
        Kind.DATABASE_KILL,
        Kind.DATABASE_STALL,
    }
)
"""After which the full rate is promised."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds over several faults; `of` is how many there were."""

    of: int
    p50_s: float
    worst_s: float


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What followed one fault.

    `rate_back_s` is from its end to the full rate, None if work ended before that, `watched_s` from its
    end to when there was too little work. `again_s` is, for
    each call that was cut off and made again, how long after the beginning that was. Figures are
    promised of faults that are alone: of which none was, or was being got over, at the same time.
    """

    strike: Strike
    rate_back_s: float | None
    watched_s: float
    again_s: Sequence[float]
    is_alone: bool


def aftermaths(
    strikes: Sequence[Strike],
    calls: Iterable[Mapping[str, Any]],
    calls_s: float,
    ledger_began_at: float,
) -> list[Aftermath]:
    """Return what followed each fault.

    Args:
        strikes: the faults of a run.
        calls: those that the provider has seen.
        calls_s: the limit of the pool.
        ledger_began_at: the Unix time that is zero in `calls`.
    """
    full: list[float] = []
    of_jobs: dict[str, list[float]] = {}
    for call in calls:
        of_jobs.setdefault(call["job_id"], []).append(call["arrived_s"])
        if call["answered"]:
            full.append(call["arrived_s"])
    full.sort()
    # The last of the work is not enough for a full second.
    until_s = full[-round(2 * calls_s)] if len(full) > 2 * calls_s else 0.0
    return [
        Aftermath(
            strike,
            back_after(full, strike.ended_at - ledger_began_at, until_s, calls_s),
            until_s - (strike.ended_at - ledger_began_at),
            again_after(of_jobs, strike.cut_off, strike.began_at - ledger_began_at),
            is_alone=not any(_overlap(strike, other) for other in strikes if other is not strike),
        )
        for strike in strikes
    ]


def too_late(aftermath: Aftermath) -> Iterator[str]:
    """Yield, in words, each promised figure that the recovery from a fault has missed."""
    strike = aftermath.strike
    if not aftermath.is_alone:
        return
    back_s, again_s = aftermath.rate_back_s, max(aftermath.again_s, default=0.0)
    named = f"{strike.kind} {strike.what}".strip()
    if (
        strike.kind in SERVICES
        and (aftermath.watched_s if back_s is None else back_s) > BACK_WITHIN_S
    ):
        after = (
            f"not for {aftermath.watched_s:.1f} s" if back_s is None else f"after {back_s:.1f} s"
        )
        yield f"{named}: the full rate was back {after}, {BACK_WITHIN_S:g} s are promised"
    if again_s > AGAIN_WITHIN_S:
        yield (
            f"{named}: a lost call was made again after {again_s:.1f} s, "
            f"{AGAIN_WITHIN_S:g} s are promised"
        )


def summed_up(seconds: Sequence[float]) -> Recovery | None:
    """Return the middle and the worst, None of nothing."""
    return Recovery(len(seconds), median(seconds), max(seconds)) if seconds else None


def back_after(
    arrivals_s: Iterable[float], ended_s: float, until_s: float, calls_s: float
) -> float | None:
    """Return after how long one second sees `BACK` of the limit's calls that are answered.

    Whatever else strikes meanwhile counts. None if work ended before that, so that nothing tells.

    Args:
        arrivals_s: when good calls arrived, in order.
        ended_s: when the fault ended.
        until_s: from when on there is too little work to fill a second.
        calls_s: the limit.
    """
    wanted = max(1, round(BACK * calls_s))
    after = [at for at in arrivals_s if ended_s <= at < until_s]
    for first, last in zip(after, after[wanted - 1 :], strict=False):
        if last - first <= 1.0:
            return max(0.0, first - ended_s)
    return None


def again_after(
    arrivals_s: Mapping[str, Sequence[float]], jobs: Iterable[str], lost_s: float
) -> list[float]:
    """Return after how long a call arrived again for each job whose call was lost.

    Jobs without another call are left out: those that get no result are found elsewhere.

    Args:
        arrivals_s: when calls arrived, by job.
        jobs: whose calls were lost.
        lost_s: when.
    """
    later = ([at - lost_s for at in arrivals_s.get(job, ()) if at > lost_s] for job in jobs)
    return [min(waits) for waits in later if waits]


def _overlap(one: Strike, other: Strike) -> bool:
    return one.began_at <= _over_at(other) and other.began_at <= _over_at(one)


def _over_at(strike: Strike) -> float:
    """Return when a fault is got over, if all goes well."""
    again_s = AGAIN_WITHIN_S if strike.cut_off else 0.0
    return max(strike.began_at + again_s, strike.ended_at + BACK_WITHIN_S)
