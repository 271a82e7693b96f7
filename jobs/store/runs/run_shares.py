"""A run's budget, shared among its batches: what one does not need, another gets."""

from sqlmodel import Session, col, select

from jobs.pipelines.shares import Stake, caps, is_worth_it
from jobs.states import FINAL_BATCH_STATES
from jobs.store.batches import batches
from jobs.store.money import budgets
from jobs.tables import Batch, Run, RunBatch


def share_out(session: Session, run: Run) -> None:
    """Move what is left of a locked run's budget between its batches, under the locks of all of them.

    The caps of all its batches are the budget at most, before and after. A batch that only its cap has
    paused goes on by it.
    """
    if run.budget_nanos is None:
        return
    of_stage = session.exec(
        select(RunBatch.stage_no, RunBatch.batch_id)
        .where(RunBatch.run_id == run.id)
        .order_by(col(RunBatch.batch_id))
    ).all()
    locked = [(stage_no, batches.lock(session, batch_id)) for stage_no, batch_id in of_stage]
    mine = [batch for _, batch in sorted(locked, key=lambda pair: pair[0])]
    stakes = [
        Stake(
            batch.spent_nanos + batch.reserved_nanos,
            batch.state not in FINAL_BATCH_STATES,
            batch.needed_nanos,
        )
        for batch in mine
    ]
    wanted = caps(run.budget_nanos, stakes)
    if not any(
        is_worth_it(batch.max_cost_nanos, cap, stake.used_nanos)
        for batch, cap, stake in zip(mine, wanted, stakes, strict=True)
        if stake.goes_on
    ):
        return
    for batch, cap in zip(mine, wanted, strict=True):
        _set(session, batch, cap)


def _set(session: Session, batch: Batch, cap_nanos: int) -> None:
    if batch.state in FINAL_BATCH_STATES:
        batch.max_cost_nanos = cap_nanos
        session.add(batch)
    else:
        budgets.set_max_cost(session, batch.project_id, batch.ref, cap_nanos)
