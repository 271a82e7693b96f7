"""Which lane a batch's jobs take, when a native batch is to be given up, and what lines became. Pure.

Times are seconds. The batch lane is for work that can wait: it is taken only where the rest could still be
done live if the provider did nothing at all, and it is left in time for that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.configuration import Limits
from jobs.exchange import Lane
from jobs.prices import Price
from jobs.states import LaneWish

ASSUMED_CALLS_PER_S = 10.0
"""Of a pool of which no limit tells how fast it is."""

SLACK = 1.25
"""By which what is reckoned of live work is taken longer: nobody knows its answers beforehand."""

HANDOVER_S = 10.0
"""What it takes that a cancelled native batch is read, and its slices are fed again."""

OUTPUT_PER_INPUT = 1.0
OUTPUT_PER_JOB = 200
"""Tokens that an answer is taken to have, beside as many as its question: a rough guess."""


@dataclass(frozen=True, slots=True)
class LiveWork:
    """What would have to be done live."""

    jobs: int
    input_tokens: int


@dataclass(frozen=True, slots=True)
class LaneTimes:
    """How a provider's batch lane goes: usually, when it is cancelled, and how often it is looked at."""

    turnaround_s: float
    cancel_s: float
    look_every_s: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a batch may reach its providers, and by when it is wanted."""

    lane: LaneWish = LaneWish.LIVE
    deadline: datetime | None = None


LIVE_AT_ANY_TIME = Wanted()


def live_s(work: LiveWork, limits: Limits) -> float:
    """Return how long work takes live, at a pool's limits alone and with some slack."""
    if work.jobs <= 0:
        return 0.0
    return SLACK * max(_each_limit_s(work, limits), default=work.jobs / ASSUMED_CALLS_PER_S)


def _each_limit_s(work: LiveWork, limits: Limits) -> Iterator[float]:
    output = work.input_tokens * OUTPUT_PER_INPUT + work.jobs * OUTPUT_PER_JOB
    for limit, amount, period_s in (
        (limits.rps, work.jobs, 1),
        (limits.rpm, work.jobs, 60),
        (limits.rph, work.jobs, 3600),
        (limits.tpm, work.input_tokens + output, 60),
        (limits.itpm, work.input_tokens, 60),
        (limits.otpm, output, 60),
    ):
        if limit is not None:
            yield amount / limit * period_s


def rescue_s(work_live_s: float, times: LaneTimes) -> float:
    """Return how long before its deadline a native batch is cancelled: until then it may do its work."""
    return work_live_s + times.cancel_s + 2 * times.look_every_s + HANDOVER_S


def rescue_at(deadline: datetime | None, work_live_s: float, times: LaneTimes) -> datetime | None:
    """Return when a native batch is cancelled, so that the rest is done live; None without a deadline."""
    return None if deadline is None else deadline - timedelta(seconds=rescue_s(work_live_s, times))


def choose(
    wish: LaneWish, *, is_cheaper: bool, left_s: float | None, work_live_s: float, times: LaneTimes
) -> Lane:
    """Return the lane of jobs that could take either.

    Args:
        wish: of their batch.
        is_cheaper: whether the batch lane is known to cost less.
        left_s: until the deadline; None without one.
        work_live_s: how long all of it would take live.
        times: of the provider's batch lane.
    """
    if wish is LaneWish.LIVE or (wish is LaneWish.AUTO and not is_cheaper):
        return Lane.LIVE
    if left_s is None:
        return Lane.BATCH
    spare_s = left_s - rescue_s(work_live_s, times)
    needed_s = times.turnaround_s if wish is LaneWish.AUTO else times.look_every_s
    return Lane.BATCH if spare_s >= needed_s else Lane.LIVE


def costs_less(batch: Price | None, live: Price | None) -> bool:
    """Whether a price of the batch lane is known, and below that of live calls."""
    if batch is None or live is None:
        return False
    ours, theirs = batch.tiers[0][1], live.tiers[0][1]
    return ours.input + ours.output < theirs.input + theirs.output


def custom_id(ref: str, seq: int, n: int) -> str:
    """Return what a line of a native batch is called at its provider."""
    return f"{ref}-{seq}-{n}"


def line_of(ref: str, name: str) -> tuple[int, int] | None:
    """Return the job and the attempt that a line's custom_id names; None if it is none of this batch."""
    head, _, rest = name.partition("-")
    seq, _, n = rest.partition("-")
    is_ours = head == ref and seq.isascii() and seq.isdigit() and n.isascii() and n.isdigit()
    if not is_ours or len(rest) > _LONGEST or name != custom_id(ref, int(seq), int(n)):
        return None
    return int(seq), int(n)


_LONGEST = 20


def is_surely_unsent(*, ran_out: bool, done: int | None, read: int) -> bool:
    """Whether lines without a result were not run, and so not billed.

    Args:
        ran_out: whether the provider ended the native batch early: cancelled, expired or refused. Of one
            that was completed each line ought to be there.
        done: how many lines the provider says it has done; None where it doesn't tell.
        read: how many of its results were read.
    """
    return ran_out and (done is None or done <= read)
