"""Whose turn it is: what becomes of a run that is due while others of its pipeline go on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.states import RunKind, RunState

Overlap = Literal["skip", "queue", "overlap"]


@dataclass(frozen=True, slots=True)
class Other:
    """A run of the same pipeline that has not ended, in the order in which they were made."""

    run_id: int
    kind: RunKind
    state: RunState
    group_ref: str | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it has begun."""
        return self.state is not RunState.WAITING


def first_state(kind: RunKind, overlap: Overlap, others: Sequence[Other]) -> RunState:
    """Return the state of a new run: it waits for its turn, or was due in vain.

    What a person asks for is never skipped, and a backfill skips nobody: only runs of the schedule and
    of people count.
    """
    in_the_way = [other for other in others if other.kind is not RunKind.BACKFILL]
    is_skipped = kind is RunKind.SCHEDULED and overlap == "skip" and bool(in_the_way)
    return RunState.SKIPPED if is_skipped else RunState.WAITING


def may_start(run: Other, overlap: Overlap, at_once: int, others: Sequence[Other]) -> bool:
    """Return whether a waiting run begins now.

    Args:
        run: the one that waits.
        overlap: what its pipeline says.
        at_once: of a backfill, how many of its runs may go on.
        others: the unfinished runs of the pipeline, this one among them or not.
    """
    if run.kind is RunKind.BACKFILL:
        of_group = [other for other in others if other.group_ref == run.group_ref]
        ahead = [other for other in of_group if other.goes_on or other.run_id < run.run_id]
        return len(ahead) < max(1, at_once)
    if overlap == "overlap":
        return True
    return not any(
        other.goes_on or other.run_id < run.run_id
        for other in others
        if other.kind is not RunKind.BACKFILL and other.run_id != run.run_id
    )
