"""How stages of a run are closed, how a run ends, is called off, and is taken up again."""

from collections.abc import Sequence

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from jobs.errors import Conflict, IllegalTransition
from jobs.money import short_usd
from jobs.pipelines.files import Pipeline
from jobs.pipelines.standing import StageCounts, has_all, has_ended
from jobs.states import (
    FINAL_BATCH_STATES,
    FINAL_RUN_STATES,
    BatchState,
    ItemState,
    PauseCause,
    RunState,
    SinkState,
)
from jobs.store.batches import batches
from jobs.store.engine.database import now
from jobs.store.runs import open_batches, run_claims, runs
from jobs.store.runs.run_items import SOURCE_STAGE
from jobs.store.runs.run_shares import share_out
from jobs.tables import Batch, Run, RunBatch, RunItem, RunSink, RunStage

BUDGET = "its budget of "
"""How the sentence begins that is taken back here."""


def settle(session: Session, run_id: int, pipeline: Pipeline, claim: tuple[str, int]) -> None:
    """Close the stages of a run that get no more jobs, share its budget, and move it on when all have ended.

    Raises:
        LeaseLost: the claim is another's; nothing is written.
    """
    run = runs.lock(session, run_id)
    run_claims.hold(session, run_id, *claim)
    if run.state != RunState.RUNNING:
        return
    stages = runs.stages(session, run_id)
    counts = [StageCounts(stage.sent, stage.again, stage.failed) for stage in stages]
    failed = [
        stage
        for stage, count in zip(pipeline.stages, counts, strict=True)
        if stage.on_failure == "fail" and count.failed
    ]
    if failed:
        stop(session, run, RunState.FAILED, f"rows have failed in stage {failed[0].name}")
        return
    mine = _lock_batches(session, run_id)
    gone = [batch for _, round_no, batch in mine if round_no == run.round and _is_called_off(batch)]
    if gone:
        give_up(session, run, gone[0].ref, gone[0].state)
        return
    is_read = run.read_at is not None
    complete = has_all(pipeline.flow, is_read, counts)
    for stage_no, _, batch in mine:
        if complete[stage_no]:
            open_batches.close(session, batch)
    if has_ended(is_read, counts) and all(
        batch.state in FINAL_BATCH_STATES for _, _, batch in mine
    ):
        runs.move(session, run_id, RunState.DELIVERING)
        return
    share_out(session, run)
    _tell_of_budget(session, run, [batch for _, _, batch in mine])


def _tell_of_budget(session: Session, run: Run, mine: Sequence[Batch]) -> None:
    """Say that a run waits for its budget, as all that goes on of it does; or that it does so no longer."""
    at_work = [batch for batch in mine if batch.state not in FINAL_BATCH_STATES]
    held = [batch for batch in at_work if batch.pause_cause == PauseCause.BATCH_BUDGET]
    said = None
    if run.budget_nanos is not None and held and len(held) == len(at_work):
        said = (
            f"its budget of ${short_usd(run.budget_nanos)} has no room for the next call: "
            "cancel it, give its file more, and retry it by that"
        )
    told = run.trouble is not None and run.trouble.startswith(BUDGET)
    if said != run.trouble and (said is not None or told):
        run.trouble = said
        session.add(run)


def give_up(session: Session, run: Run, batch_ref: str, batch_state: str) -> None:
    """End a locked run one of whose batches takes no more jobs, as somebody or the deadline has ended it."""
    is_late = batch_state in {BatchState.FINALIZING, BatchState.EXPIRED}
    why = "its deadline has passed: " if is_late else ""
    target = RunState.FAILED if is_late else RunState.CANCELLED
    stop(session, run, target, f"{why}batch {batch_ref} is {batch_state}")


def stop(session: Session, run: Run, target: RunState, trouble: str | None) -> None:
    """End a locked run as failed or cancelled, and call off its batches: what is in flight still counts.

    Raises:
        IllegalTransition: it has ended.
    """
    assert run.id is not None  # a stored row has its key
    runs.require_move(session, run, target, trouble)
    for _, _, batch in _lock_batches(session, run.id):
        open_batches.call_off(session, batch)


def cancel(session: Session, project_id: int, ref: str) -> Run:
    """Cancel a run; one that is cancelled already stays so.

    Raises:
        NotFound: there is no such run.
        IllegalTransition: it has ended.
    """
    found = runs.find(session, project_id, ref)
    assert found.id is not None  # a stored row has its key
    run = runs.lock(session, found.id)
    if run.state != RunState.CANCELLED:
        stop(session, run, RunState.CANCELLED, "it was cancelled")
        session.refresh(run)
    return run


def retry(
    session: Session,
    project_id: int,
    ref: str,
    *,
    from_stage: str | None = None,
    pipeline: Pipeline | None = None,
) -> Run:
    """Take up a run that has ended: rows that failed are asked for again, and its sinks are written anew.

    Args:
        session: a write transaction.
        project_id: whose run it is.
        ref: its name.
        from_stage: only rows that failed in this stage or in a later one of the file; None for all.
        pipeline: its file as it is now; None for as it was. Stages and branches must be the same ones.

    Raises:
        NotFound: there is no such run.
        IllegalTransition: it has not ended, was skipped, or has batches that have not.
        Conflict: the file has other stages now, or there is no such stage.
    """
    found = runs.find(session, project_id, ref)
    assert found.id is not None  # a stored row has its key
    run = runs.lock(session, found.id)
    before = Pipeline.from_json(run.definition)
    if pipeline is not None and pipeline.flow != before.flow:
        raise Conflict(f"run {ref} had other stages than the file has now: begin a new run")
    names = [stage.name for stage in before.stages]
    if from_stage is not None and from_stage not in names:
        raise Conflict(f"there is no stage {from_stage[:40]!r}; there are {', '.join(names)}")
    if run.state not in FINAL_RUN_STATES - {RunState.SKIPPED}:
        raise IllegalTransition(f"run {ref} is {run.state}, so it can't be retried")
    _require_quiet(session, run)
    first = names.index(from_stage) if from_stage else 0
    _ask_again(session, found.id, range(first, len(names)))
    session.connection().execute(
        update(RunSink)
        .where(col(RunSink.run_id) == found.id)
        .values(state=SinkState.WAITING, tries=0, next_try_at=None, trouble=None)
    )
    if pipeline is not None:
        run.definition, run.digest = pipeline.to_json(), pipeline.digest
        run.budget_nanos = pipeline.budget_nanos
    run.state, run.trouble, run.finished_at = RunState.RUNNING, None, None
    run.round, run.tries, run.next_try_at = run.round + 1, 0, None
    run.judged_at, run.unreachable, run.quoted_s, run.quoted_jobs = None, None, None, 0
    if run.deadline is not None and run.deadline <= now(session):
        run.deadline = None  # it is over, and what is asked again would expire at once
    session.add(run)
    session.flush()
    return run


def _lock_batches(session: Session, run_id: int) -> list[tuple[int, int, Batch]]:
    """Lock the batches of a run; return their stages, their rounds and themselves, in the order of ids."""
    rows = session.exec(
        select(RunBatch.batch_id, RunBatch.stage_no, RunBatch.round)
        .where(RunBatch.run_id == run_id)
        .order_by(col(RunBatch.batch_id))
    ).all()
    return [
        (stage_no, round_no, batches.lock(session, batch_id))
        for batch_id, stage_no, round_no in rows
    ]


def _is_called_off(batch: Batch) -> bool:
    return batch.state not in open_batches.TAKES_JOBS and batch.state != BatchState.COMPLETED


def _require_quiet(session: Session, run: Run) -> None:
    at_work = session.exec(
        select(func.count())
        .select_from(RunBatch)
        .join(Batch, col(Batch.id) == col(RunBatch.batch_id))
        .where(RunBatch.run_id == run.id, col(Batch.finished_at).is_(None))
    ).one()
    if at_work:
        raise IllegalTransition(
            f"{at_work} of the batches of run {run.ref} have calls in flight: retry it when they have ended"
        )


def _ask_again(session: Session, run_id: int, stages: Sequence[int]) -> None:
    connection = session.connection()
    for stage_no in stages:
        changed = connection.execute(
            update(RunItem)
            .where(
                col(RunItem.run_id) == run_id,
                col(RunItem.stage_no) == stage_no,
                col(RunItem.stage_no) > SOURCE_STAGE,
                col(RunItem.state) == ItemState.FAILED,
            )
            .values(state=ItemState.AGAIN, error=None)
        ).rowcount
        connection.execute(
            update(RunStage)
            .where(col(RunStage.run_id) == run_id, col(RunStage.stage_no) == stage_no)
            .values(again=col(RunStage.again) + changed, failed=col(RunStage.failed) - changed)
        )
