"""The batches of a run: one for each stage and round, open while rows may come; made with its first job."""

from collections.abc import Sequence

from sqlalchemy import insert
from sqlmodel import Session, col, select

from jobs.pipelines.files import Pipeline
from jobs.store.batches.uploads import BatchDraft
from jobs.store.runs import open_batches
from jobs.store.runs.run_shares import share_out
from jobs.tables import Batch, Run, RunBatch


def of_run(session: Session, run_id: int) -> list[tuple[RunBatch, Batch]]:
    """Return the batches of a run with what is known of them, in the order of their ids."""
    rows = session.exec(
        select(RunBatch, Batch)
        .join(Batch, col(Batch.id) == col(RunBatch.batch_id))
        .where(RunBatch.run_id == run_id)
        .order_by(col(RunBatch.batch_id))
    )
    return [(mine, batch) for mine, batch in rows]


def ids_of(session: Session, run_id: int) -> list[int]:
    """Return the ids of a run's batches."""
    return list(session.exec(select(RunBatch.batch_id).where(RunBatch.run_id == run_id)))


def batches_for(
    session: Session, run: Run, pipeline: Pipeline, stage_nos: Sequence[int]
) -> dict[int, int]:
    """Return the batches that jobs of some stages are added to in this round, made where there is none."""
    rows = session.exec(
        select(RunBatch.stage_no, RunBatch.batch_id).where(
            RunBatch.run_id == run.id, RunBatch.round == run.round
        )
    )
    found = dict(rows.all())
    missing = [stage_no for stage_no in stage_nos if stage_no not in found]
    for stage_no in missing:
        found[stage_no] = _make(session, run, pipeline, stage_no)
    if missing:
        share_out(session, run)
    return {stage_no: found[stage_no] for stage_no in stage_nos}


def _make(session: Session, run: Run, pipeline: Pipeline, stage_no: int) -> int:
    stage = pipeline.stages[stage_no]
    draft = BatchDraft(
        project_id=run.project_id,
        defaults=pipeline.defaults_of(stage).to_json(),
        name=f"{pipeline.name} {run.day}: {stage.name}",
        priority=pipeline.priority,
        max_cost_nanos=0 if run.budget_nanos is not None else None,
        lane=pipeline.lane,
        deadline=run.deadline,
        after_deadline=pipeline.after_deadline,
        run_window=pipeline.window,
    )
    batch = open_batches.begin(session, draft)
    assert batch.id is not None  # it was flushed
    session.connection().execute(
        insert(RunBatch).values(
            run_id=run.id, batch_id=batch.id, stage_no=stage_no, round=run.round, handed_over=0
        )
    )
    return batch.id
