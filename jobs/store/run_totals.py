"""What runs have cost and saved, by the batches of their stages."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import func
from sqlmodel import Session, col, select

from jobs.tables import Batch, Run, RunBatch, RunStage


@dataclass(slots=True)
class StageTotals:
    """The sums of a stage's batches, in nanos; `…_saved` are how much less than at list price."""

    batches: list[str] = field(default_factory=list)
    spent: int = 0
    reserved: int = 0
    unpriced_jobs: int = 0
    lane_saved: int = 0
    cache_saved: int = 0
    same_saved: int = 0
    """By jobs that ask for the same as others, of the batch or of an earlier one."""

    def add(self, other: "StageTotals") -> None:
        """Add another stage's sums."""
        self.batches += other.batches
        self.spent += other.spent
        self.reserved += other.reserved
        self.unpriced_jobs += other.unpriced_jobs
        self.lane_saved += other.lane_saved
        self.cache_saved += other.cache_saved
        self.same_saved += other.same_saved

    @property
    def list_price(self) -> int:
        """What it had cost live, without caches, each job for itself."""
        return self.spent + self.lane_saved + self.cache_saved + self.same_saved


Totals = dict[int, StageTotals]
"""By the numbers of stages."""


def totals_of(session: Session, run_ids: Collection[int]) -> dict[int, Totals]:
    """Return the sums of some runs by their ids; a stage without a batch is left out."""
    found: dict[int, Totals] = {run_id: {} for run_id in run_ids}
    rows = session.exec(
        select(RunBatch, Batch)
        .join(Batch, col(Batch.id) == col(RunBatch.batch_id))
        .where(col(RunBatch.run_id).in_(list(run_ids)))
        .order_by(col(RunBatch.batch_id))
    )
    for link, batch in rows:
        totals = found[link.run_id].setdefault(link.stage_no, StageTotals())
        totals.add(
            StageTotals(
                batches=[batch.ref],
                spent=batch.spent_nanos,
                reserved=batch.reserved_nanos,
                unpriced_jobs=batch.unpriced_jobs,
                lane_saved=batch.lane_saved_nanos,
                cache_saved=batch.cache_saved_nanos or 0,
                same_saved=batch.saved_nanos,
            )
        )
    return found


def failed_of(session: Session, run_ids: Collection[int]) -> dict[int, int]:
    """Return how many rows have failed in some runs, in all of their stages, by the runs' ids."""
    rows = session.exec(
        select(RunStage.run_id, func.sum(RunStage.failed))
        .where(col(RunStage.run_id).in_(list(run_ids)))
        .group_by(col(RunStage.run_id))
    )
    return {run_id: int(failed) for run_id, failed in rows}


def sum_of(totals: Totals) -> StageTotals:
    """Return the sums of a whole run."""
    total = StageTotals()
    for stage in totals.values():
        total.add(stage)
    return total


def newest(session: Session, project_id: int) -> dict[str, Run]:
    """Return the newest run of each pipeline of a project, by its name."""
    last = select(func.max(Run.id)).where(Run.project_id == project_id).group_by(col(Run.pipeline))
    rows = session.exec(select(Run).where(col(Run.id).in_(last)))
    return {run.pipeline: run for run in rows}
