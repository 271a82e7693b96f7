"""What runs have cost and saved, by the batches of their stages."""

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import func
from sqlmodel import Session, col, select

from jobs.pipelines.files import Pipeline
from jobs.receipt import Saved
from jobs.states import RunState
from jobs.store.money.receipts import work_of
from jobs.tables import Batch, Run, RunBatch, RunStage


@dataclass(slots=True)
class StageTotals:
    """The sums of a stage's batches, in nanos."""

    batches: list[str] = field(default_factory=list)
    spent: int = 0
    reserved: int = 0
    unpriced_jobs: int = 0
    saved: Saved = field(default_factory=Saved)

    def add(self, other: "StageTotals") -> None:
        """Add another stage's sums."""
        self.batches += other.batches
        self.spent += other.spent
        self.reserved += other.reserved
        self.unpriced_jobs += other.unpriced_jobs
        self.saved += other.saved

    @property
    def list_price(self) -> int:
        """What it had cost live, without caches, each job for itself."""
        return self.spent + self.saved.nanos


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
                saved=work_of(batch).saved,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Failures:
    """What has failed of a run, in all of its stages. `nothing_left` tells that it ended without one row."""

    count: int = 0
    nothing_left: bool = False


NO_FAILURES = Failures()


def failures_in(session: Session, some: Collection[Run]) -> dict[int, Failures]:
    """Return what has failed in some runs, by their ids; a run in which nothing did is left out."""
    by_id = {run.id: run for run in some if run.id is not None}
    stages: dict[int, list[RunStage]] = {}
    for stage in session.exec(select(RunStage).where(col(RunStage.run_id).in_(list(by_id)))):
        stages.setdefault(stage.run_id, []).append(stage)
    return {
        run_id: Failures(count, _came_to_nothing(by_id[run_id], own))
        for run_id, own in stages.items()
        if (count := sum(stage.failed for stage in own))
    }


def _came_to_nothing(run: Run, stages: Collection[RunStage]) -> bool:
    """Return whether no row has come out of a completed run: of a last stage, or one that a sink is of."""
    if run.state != RunState.COMPLETED:
        return False
    done = {stage.stage_no for stage in stages if stage.done}
    if not done:
        return True
    if len(stages) - 1 in done:
        return False  # so it is of nearly every run, whose file need not be read for it
    pipeline = Pipeline.from_json(run.definition)
    inner = {number for inputs in pipeline.flow.inputs for number in inputs}
    ends = set(range(len(stages))) - inner
    ends |= {pipeline.stage_number(sink.of) for sink in pipeline.sinks}
    return not done & ends


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
