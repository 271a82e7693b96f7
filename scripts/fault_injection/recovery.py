"""How long it took until work went on after a fault."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

BACK = 0.8
"""Of the pool's limit, in one second: from then on work goes on. A poisson-like second varies."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds from a fault's end, over all faults of a kind; `of` is how many there were."""

    of: int
    p50_s: float
    worst_s: float


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
