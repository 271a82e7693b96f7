"""Receipts: what work cost, what it would have cost, where it went, and whether it came in time. Pure.

Every figure is a sum of integers. The list price is what the same calls would have cost live and without any
saving: what was paid, and what was saved of it. So list minus savings is always what was paid.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.states import FINAL_BATCH_STATES, FINAL_RUN_STATES, BatchState, RunState


@dataclass(frozen=True, slots=True)
class Part:
    """What calls to a model in a lane took and cost; `lane` is `live` or `batch`, or None for both."""

    provider: str
    model: str
    lane: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nanos: int
    unpriced_calls: int = 0
    unknown_calls: int = 0
    """Whose answer never came."""
    unknown_nanos: int = 0
    """Of the cost, what those are charged."""


@dataclass(frozen=True, slots=True)
class Saved:
    """How much less was paid than at list price: by lanes, by prompt caches, by answers that were there."""

    lane_nanos: int = 0
    cache_nanos: int = 0
    reuse_nanos: int = 0

    def __add__(self, other: "Saved") -> "Saved":
        """Return both together."""
        return Saved(
            self.lane_nanos + other.lane_nanos,
            self.cache_nanos + other.cache_nanos,
            self.reuse_nanos + other.reuse_nanos,
        )

    @property
    def nanos(self) -> int:
        """All of it; below zero where caches cost more than they saved, and nothing else did."""
        return self.lane_nanos + self.cache_nanos + self.reuse_nanos


@dataclass(frozen=True, slots=True)
class Due:
    """When a batch was wanted, and when it ended; None where it was not, or has not."""

    state: str
    deadline: datetime | None
    finished_at: datetime | None

    @property
    def late_s(self) -> float | None:
        """Seconds by which the deadline was missed, at most 0 if it was kept; None without one, or an end."""
        if self.deadline is None or self.finished_at is None:
            return None
        return (self.finished_at - self.deadline).total_seconds()

    @property
    def missed(self) -> bool | None:
        """Whether a deadline was missed; None where there is none, or no end. What expired was missed."""
        late_s = self.late_s
        if late_s is None or self.state == BatchState.CANCELLED:
            return None
        return late_s > 0 or self.state == BatchState.EXPIRED


@dataclass(frozen=True, slots=True)
class Work:
    """A batch as far as its receipt goes; of its row."""

    jobs: int
    succeeded: int
    not_called: int
    """Jobs that needed no call: the same as another one, or answered before."""
    lane_saved_nanos: int
    cache_saved_nanos: int
    reuse_saved_nanos: int
    bad_answers: int
    bad_nanos: int
    due: Due

    @property
    def saved(self) -> Saved:
        """What it saved."""
        return Saved(self.lane_saved_nanos, self.cache_saved_nanos, self.reuse_saved_nanos)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How many deadlines were kept, missed, and are still open; and the worst of the missed."""

    kept: int = 0
    missed: int = 0
    open: int = 0
    worst_late_s: float = 0.0
    unreachable: str | None = None
    """Of a run: why its deadline surely couldn't be met, as it was told when its source was read."""


@dataclass(frozen=True, slots=True)
class Together:
    """Some batches as far as their receipt goes, added up. `is_final` tells that all of them have ended."""

    batches: int
    jobs: int
    succeeded: int
    not_called: int
    saved: Saved
    bad_answers: int
    bad_nanos: int
    deadlines: Deadlines
    is_final: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """What some work cost. `is_final` tells that all of it has ended; `paid_nanos` is what it was charged."""

    batches: int
    jobs: int
    succeeded: int
    not_called: int
    paid_nanos: int
    lane_saved_nanos: int
    cache_saved_nanos: int
    reuse_saved_nanos: int
    bad_answers: int
    bad_nanos: int
    unknown_calls: int
    unknown_nanos: int
    unpriced: int
    deadlines: Deadlines
    parts: tuple[Part, ...]
    is_final: bool

    @property
    def saved_nanos(self) -> int:
        """All that was saved, as `Saved.nanos`."""
        return Saved(self.lane_saved_nanos, self.cache_saved_nanos, self.reuse_saved_nanos).nanos

    @property
    def list_nanos(self) -> int:
        """What it would have cost with every job called live, and no cache."""
        return self.paid_nanos + self.saved_nanos

    @property
    def wasted_nanos(self) -> int:
        """What was paid for answers that were not usable, and for calls whose answers never came."""
        return self.bad_nanos + self.unknown_nanos

    @property
    def saved_share(self) -> float | None:
        """The share of the list price that was saved; None where that is nothing."""
        return self.saved_nanos / self.list_nanos if self.list_nanos > 0 else None


def together(works: Sequence[Work]) -> Together:
    """Return batches added up."""
    return Together(
        batches=len(works),
        jobs=sum(work.jobs for work in works),
        succeeded=sum(work.succeeded for work in works),
        not_called=sum(work.not_called for work in works),
        saved=sum((work.saved for work in works), Saved()),
        bad_answers=sum(work.bad_answers for work in works),
        bad_nanos=sum(work.bad_nanos for work in works),
        deadlines=deadlines_of([work.due for work in works]),
        is_final=all(work.due.state in FINAL_BATCH_STATES for work in works),
    )


def receipt(work: Together, parts: Iterable[Part]) -> Receipt:
    """Return the receipt of some work whose calls cost what `parts` say."""
    parts = tuple(sorted(parts, key=lambda part: (-part.cost_nanos, part.provider, part.model)))
    return Receipt(
        batches=work.batches,
        jobs=work.jobs,
        succeeded=work.succeeded,
        not_called=work.not_called,
        paid_nanos=sum(part.cost_nanos for part in parts),
        lane_saved_nanos=work.saved.lane_nanos,
        cache_saved_nanos=work.saved.cache_nanos,
        reuse_saved_nanos=work.saved.reuse_nanos,
        bad_answers=work.bad_answers,
        bad_nanos=work.bad_nanos,
        unknown_calls=sum(part.unknown_calls for part in parts),
        unknown_nanos=sum(part.unknown_nanos for part in parts),
        unpriced=sum(part.unpriced_calls for part in parts),
        deadlines=work.deadlines,
        parts=parts,
        is_final=work.is_final,
    )


def kept_deadline(
    state: str, deadline: datetime | None, finished_at: datetime | None, now: datetime
) -> bool | None:
    """Return whether a run was done by when it was wanted: False as soon as that is over.

    None while it is open, where there is no deadline, and of a run that ended in another way.
    """
    if deadline is None or state in FINAL_RUN_STATES - {RunState.COMPLETED}:
        return None
    if finished_at is None:
        return None if now <= deadline else False
    return finished_at <= deadline


def deadline_of_run(
    state: str, deadline: datetime | None, finished_at: datetime | None, now: datetime
) -> Deadlines:
    """Return a run's deadline as its receipt has it; one that is late and goes on is late up to now."""
    if deadline is None or state in FINAL_RUN_STATES - {RunState.COMPLETED}:
        return Deadlines()
    match kept_deadline(state, deadline, finished_at, now):
        case None:
            return Deadlines(open=1)
        case True:
            return Deadlines(kept=1)
        case False:
            late_s = ((finished_at or now) - deadline).total_seconds()
            return Deadlines(missed=1, worst_late_s=late_s)


def deadlines_of(dues: Sequence[Due]) -> Deadlines:
    """Return how the deadlines of some batches ended."""
    ends = [due.missed for due in dues]
    return Deadlines(
        kept=ends.count(False),
        missed=ends.count(True),
        open=sum(1 for due in dues if due.deadline is not None and due.finished_at is None),
        worst_late_s=max((due.late_s or 0.0 for due in dues if due.missed), default=0.0),
    )
