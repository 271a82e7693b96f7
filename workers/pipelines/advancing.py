"""Advancing a run: what has ended in a stage is handed to those after it; what is complete is closed."""

from collections.abc import Callable
from dataclasses import dataclass

from jobs.pipelines.flow import Place
from jobs.states import ItemState, RunState
from jobs.store import Database, Session
from jobs.store.runs import handover, run_batches, run_claims, run_endings, runs
from jobs.store.runs.handover import BatchGone, Begun, Change, Step
from jobs.store.runs.run_items import Ended, ended_after, items_of, rows_of, to_ask_again
from jobs.tables import Batch, Run, RunBatch
from workers.pipelines.rows_ahead import RowsAhead, Stages, begin_all

RESULTS_AT_ONCE = 500
"""Results that one transaction hands over: some 100 ms of the database's time where each makes a job."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One process's turn at a run: its claim, and how to go about it."""

    database: Database
    run: Run
    stages: Stages
    claim: tuple[str, int]
    slice_size: int
    feed: Callable[[set[str]], None]

    @property
    def run_id(self) -> int:
        """The run's key."""
        assert self.run.id is not None  # a stored row has its key
        return self.run.id


def advance(turn: Turn) -> bool:
    """Hand over all that has ended, and close what is complete; return whether there was anything.

    Raises:
        LeaseLost: another process has the run now, or it has ended.
    """
    moved = False
    with turn.database.read() as session:
        mine = run_batches.of_run(session, turn.run_id)
    for of_run, batch in mine:
        moved = _hand_over(turn, of_run, batch) or moved
    for stage_no in range(len(turn.stages.pipeline.stages)):
        moved = _ask_again(turn, stage_no) or moved
    with turn.database.write() as session:
        run_endings.settle(session, turn.run_id, turn.stages.pipeline, turn.claim)
    return moved


def write(turn: Turn, step: Step) -> bool:
    """Write a step and have its jobs fed; return False if the run was given up, as it can't go on."""
    pipeline = turn.stages.pipeline
    try:
        with turn.database.write() as session:
            queues = handover.write(session, turn.run_id, pipeline, step, turn.slice_size)
    except BatchGone as gone:
        with turn.database.write() as session:
            run = runs.lock(session, turn.run_id)
            run_claims.hold(session, turn.run_id, *step.claim)
            if run.state == RunState.RUNNING:
                run_endings.give_up(session, run, gone.batch_ref, gone.state)
        return False
    turn.feed(queues)
    return True


def _hand_over(turn: Turn, of_run: RunBatch, batch: Batch) -> bool:
    """Hand over the results of one batch, as many as there are now."""
    after, moved = of_run.handed_over, False
    while after < batch.finished_jobs:
        with turn.database.read() as session:
            ended = ended_after(session, of_run.batch_id, after, RESULTS_AT_ONCE)
            if not ended:
                break
            is_old = of_run.round < turn.run.round
            step = Step(turn.claim, of_run.batch_id, after, ended[-1].position)
            _plan(session, turn, step, ended, is_old=is_old)
        if not write(turn, step):
            return True
        after, moved = step.up_to, True
    return moved


def _plan(session: Session, turn: Turn, step: Step, ended: list[Ended], *, is_old: bool) -> None:
    """Find out what becomes of results, and what begins by them."""
    numbers = {each.number for each in ended}
    ahead = RowsAhead(
        turn.stages,
        rows_of(session, turn.run_id, numbers),
        items := items_of(session, turn.run_id, numbers),
    )
    # An item that has another job by now is not this result's any more.
    current = [
        each
        for each in ended
        if items[each.number][each.stage_no, each.branch].job == each.job
        and items[each.number][each.stage_no, each.branch].state is ItemState.SENT
    ]
    ahead.load_to_check(session, [(each.number, _place(each)) for each in current if each.is_good])
    for each in current:
        error = ahead.check(each.number, _place(each)) if each.is_good else None
        state = ItemState.DONE
        if not each.is_good:
            state = ItemState.AGAIN if is_old else ItemState.FAILED
        elif error is not None:
            state = ItemState.FAILED
        ahead.note(each.number, _place(each), state)
        step.changes.append(
            Change(each.number, each.stage_no, each.branch, ItemState.SENT, state, error)
        )
    step.begun.extend(begin_all(session, ahead))


def _ask_again(turn: Turn, stage_no: int) -> bool:
    """Give another job to the rows of a stage that are to get one."""
    moved = False
    while True:
        with turn.database.read() as session:
            places = to_ask_again(session, turn.run_id, stage_no, RESULTS_AT_ONCE)
            if not places:
                return moved
            numbers = {number for number, _ in places}
            rows = rows_of(session, turn.run_id, numbers)
            ahead = RowsAhead(turn.stages, rows, items_of(session, turn.run_id, numbers))
            wanted: list[tuple[int, Place]] = [
                (number, (stage_no, branch)) for number, branch in places
            ]
            ahead.load(session, wanted)
            begun: list[Begun] = [ahead.begin(*each, again=True) for each in wanted]
            begun += begin_all(session, ahead)
        if not write(turn, Step(turn.claim, begun=begun)):
            return True
        moved = True


def _place(ended: Ended) -> Place:
    return ended.stage_no, ended.branch
