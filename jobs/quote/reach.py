"""Whether a deadline can be met at the limits there are, beside the work that was accepted before. Pure.

It is refused only what surely can't be: the time is that of brief answers. A batch that may be late is
accepted, and its forecast tells.

How others delay it. Feeding shares a queue by weight, and a batch that is short of time rises to `high`. So
while it works, another one gets its weight's part beside it, and no more than it has left.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.configuration import Configuration
from jobs.deadlines import RunWindow
from jobs.quote.durations import Duration, Known, Limit, duration
from jobs.quote.tally import Tally
from jobs.states import WEIGHTS, Priority
from jobs.timing import ready_at, usable

STEPS = 40
"""Halvings in the search for how many jobs would do."""


@dataclass(frozen=True, slots=True)
class Other:
    """A batch at work: its open jobs at a queue, and how it shares.

    `left_s` is how long those take; None where nobody has said it, and its jobs are taken to be like ours.
    """

    queue: str
    jobs: int
    priority: Priority
    has_deadline: bool
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """By when something is wanted, in which hours it may run, and how it shares."""

    deadline: datetime
    window: RunWindow | None = None
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Reach:
    """How a submission stands to its deadline.

    `earliest` is when it may be ready at the soonest. Where that is too late, so many as `most_jobs` would
    do, or a `limit` of `needed`. `beside` batches delay it. `quoted_s` is how long it takes by itself, in
    the middle of its quote. Of what has no limit that tells, nothing is known, and it `reaches`.
    """

    deadline: datetime
    jobs: int
    earliest: datetime | None = None
    quoted_s: float | None = None
    most_jobs: int = 0
    limit: Limit | None = None
    needed: float | None = None
    beside: int = 0

    @property
    def reaches(self) -> bool:
        """Whether the deadline may be met."""
        return self.earliest is None or self.earliest <= self.deadline

    def sentence(self) -> str:
        """Return why a submission can't meet it, and what would."""
        fewer = f"at most {self.most_jobs:,} jobs" if self.most_jobs else None
        told = self.why(f"{self.jobs:,} jobs", fewer)
        return f"{told}. With `accept_late=true` it is accepted, and late"

    def why(self, what: str, fewer: str | None) -> str:
        """Return why it can't be met, of jobs that are called `what`, and what would; `fewer` of them do."""
        assert self.earliest is not None
        beside = ""
        if self.beside:
            beside = f" beside {self.beside:,} other batch{'es' if self.beside > 1 else ''}"
        remedies = [f"a deadline from {_told(self.earliest)} on"]
        if fewer is not None:
            remedies.append(fewer)
        if self.limit is not None and self.needed is not None:
            remedies.append(
                f"{self.limit.name} at {self.needed:,.4g} instead of {self.limit.value:,.4g}"
            )
        return (
            f"{what} can't be ready by {_told(self.deadline)}: at the present limits{beside} "
            f"the earliest is {_told(self.earliest)}. What would meet it: {', or '.join(remedies)}"
        )


def reach(
    tallies: Sequence[Tally],
    wish: Wish,
    now: datetime,
    configuration: Configuration,
    known: Known,
    others: Sequence[Other],
) -> Reach:
    """Return how jobs of these sums stand to a deadline, if their work is begun now."""
    jobs = sum(tally.jobs for tally in tallies)
    shares = _shares(tallies, configuration, known, others, wish.priority)
    if shares is None:
        return Reach(wish.deadline, jobs)
    total_s = max((share.takes_s(1.0) for share in shares), default=0.0)
    quoted_s = max((share.middle_s for share in shares), default=0.0)
    earliest = ready_at(now, total_s, wish.window)
    if earliest <= wish.deadline:
        return Reach(wish.deadline, jobs, earliest, quoted_s)
    room_s = usable(now, wish.deadline, wish.window)
    slowest = max(shares, key=lambda share: share.takes_s(1.0))
    part = min(share.part_within(room_s) for share in shares)
    limit = slowest.limit
    needed = None
    if limit is not None and room_s > 0:
        needed = math.ceil(limit.value * slowest.takes_s(1.0) / room_s)
    return Reach(
        wish.deadline,
        jobs,
        earliest,
        quoted_s,
        most_jobs=math.floor(jobs * part),
        limit=limit,
        needed=needed,
        beside=sum(len(share.delays) for share in shares),
    )


@dataclass(frozen=True, slots=True)
class _Share:
    """What a provider has to do: so long by itself, and what others take meanwhile.

    `delays` are how long each of those has left, and how much it gets done beside a second of ours.
    """

    own_s: float
    middle_s: float
    limit: Limit | None
    delays: tuple[tuple[float, float], ...]

    def takes_s(self, part: float) -> float:
        """Return how long a part of it takes, others beside it."""
        own_s = self.own_s * part
        return own_s + sum(min(left_s, own_s * beside) for left_s, beside in self.delays)

    def part_within(self, room_s: float) -> float:
        """Return the largest part that takes so long at most."""
        low, high = 0.0, 1.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.takes_s(middle) <= room_s else (low, middle)
        return low


def _shares(
    tallies: Sequence[Tally],
    configuration: Configuration,
    known: Known,
    others: Sequence[Other],
    priority: Priority,
) -> list[_Share] | None:
    """Return the share of each provider; None if nobody can tell how long one takes."""
    shares = []
    for provider in sorted({tally.target.provider for tally in tallies}):
        own = [tally for tally in tallies if tally.target.provider == provider]
        takes: Duration = duration(own, configuration, known)
        if takes.low_s is None or takes.high_s is None:
            return None
        jobs = sum(tally.jobs for tally in own)
        delays = tuple(
            (
                takes.low_s / jobs * other.jobs if other.left_s is None else other.left_s,
                _weight(other.priority, has_deadline=other.has_deadline)
                / _weight(priority, has_deadline=True),
            )
            for other in others
            if other.queue == provider
        )
        middle_s = (takes.low_s + takes.high_s) / 2
        shares.append(_Share(takes.low_s, middle_s, takes.surely, delays))
    return shares


def _weight(priority: Priority, *, has_deadline: bool) -> int:
    """Return the weight of a batch when it presses: a deadline may raise it to `high`."""
    return max(WEIGHTS[priority], WEIGHTS[Priority.HIGH] if has_deadline else 0)


def _told(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def fields(found: Reach) -> Mapping[str, object]:
    """Return what a program is told beside the sentence."""
    return {
        "jobs": found.jobs,
        "deadline": found.deadline.isoformat(),
        "earliest": None if found.earliest is None else found.earliest.isoformat(),
        "most_jobs": found.most_jobs,
        "limited_by": None if found.limit is None else found.limit.name,
        "limit": None if found.limit is None else found.limit.value,
        "limit_needed": found.needed,
    }
