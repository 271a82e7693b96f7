"""The handover: results of a stage become jobs of the stages after it, in one transaction.

What is written was worked out from rows that were read before. It is void unless the claim is still
held, the run still goes on, and the cursor is where it was: so whatever is killed in between, each result
is handed over exactly once.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import bindparam, update
from sqlmodel import Session, col

from jobs.errors import LeaseLost
from jobs.lines import JobLine
from jobs.pipelines.files import Pipeline
from jobs.states import ItemState, RunState
from jobs.store.batches import batches
from jobs.store.engine.bulk import insert_rows
from jobs.store.runs import open_batches, run_batches, run_claims, runs
from jobs.store.runs.run_items import SOURCE_STAGE
from jobs.tables import Run, RunBatch, RunItem, RunStage

ITEM_COLUMNS = (
    *("run_id", "number", "stage_no", "branch", "state", "batch_id", "seq", "key", "document"),
    *("digest", "error"),
)


@dataclass(frozen=True, slots=True)
class Change:
    """A row that is in a stage already, and how it goes on from `was`."""

    number: int
    stage_no: int
    branch: str
    was: ItemState
    state: ItemState
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A row that enters a stage: with the job that it gets, or with why it gets none.

    `again` if it is there already and gets another job.
    """

    number: int
    stage_no: int
    branch: str
    job: JobLine | None = None
    state: ItemState = ItemState.SENT
    error: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row of the source, not numbered yet but by its order. `document` is JSON."""

    key: str
    document: str
    digest: str


@dataclass(slots=True)
class Step:
    """What one transaction writes. Of a batch's results those from `after` to `up_to` are handed over."""

    claim: tuple[str, int]
    batch_id: int | None = None
    after: int = 0
    up_to: int = 0
    new_rows: Sequence[NewRow] = ()
    first_number: int = 1
    changes: list[Change] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)


class BatchGone(Exception):
    """A stage's batch takes no more jobs: somebody has cancelled it, or its deadline has passed."""

    def __init__(self, batch_ref: str, state: str) -> None:
        super().__init__(f"its batch {batch_ref} is {state}")
        self.batch_ref = batch_ref
        self.state = state


def write(
    session: Session, run_id: int, pipeline: Pipeline, step: Step, slice_size: int
) -> set[str]:
    """Write a step and return the queues that have work by it.

    Raises:
        LeaseLost: the claim is another's, the run has ended, or this was done already; nothing is written.
        BatchGone: jobs can't be added; nothing is written.
    """
    run = runs.lock(session, run_id)
    run_claims.hold(session, run_id, *step.claim)
    if run.state != RunState.RUNNING:
        raise LeaseLost(f"run {run.ref} is {run.state}")
    counts: dict[int, Counter[ItemState]] = defaultdict(Counter)
    _advance(session, run_id, step)
    _take_rows(session, run, step)
    _change(session, run_id, step.changes, counts)
    queues = _begin(session, run, pipeline, step.begun, counts, slice_size)
    _count(session, run_id, counts)
    return queues


def _count(session: Session, run_id: int, counts: dict[int, Counter[ItemState]]) -> None:
    for stage_no, by_state in counts.items():
        differences = {
            state.value: getattr(RunStage, state.value) + difference
            for state, difference in by_state.items()
            if difference
        }
        if differences:
            session.connection().execute(
                update(RunStage)
                .where(col(RunStage.run_id) == run_id, col(RunStage.stage_no) == stage_no)
                .values(differences)
            )


def _advance(session: Session, run_id: int, step: Step) -> None:
    if step.batch_id is None:
        return
    advanced = session.connection().execute(
        update(RunBatch)
        .where(
            col(RunBatch.run_id) == run_id,
            col(RunBatch.batch_id) == step.batch_id,
            col(RunBatch.handed_over) == step.after,
        )
        .values(handed_over=step.up_to)
    )
    if advanced.rowcount != 1:
        raise LeaseLost("these results were handed over already")


def _take_rows(session: Session, run: Run, step: Step) -> None:
    if not step.new_rows:
        return
    if run.rows != step.first_number - 1:
        raise LeaseLost("these rows were taken already")
    assert run.id is not None  # a stored row has its key
    insert_rows(
        session,
        RunItem,
        ITEM_COLUMNS,
        [
            (
                *(run.id, number, SOURCE_STAGE, "", ItemState.DONE.value, None, None),
                *(row.key, row.document, row.digest, None),
            )
            for number, row in enumerate(step.new_rows, start=step.first_number)
        ],
    )
    run.rows += len(step.new_rows)
    session.add(run)
    session.flush()


_CHANGE = update(RunItem).where(
    col(RunItem.run_id) == bindparam("of"),
    col(RunItem.number) == bindparam("row"),
    col(RunItem.stage_no) == bindparam("stage"),
    col(RunItem.branch) == bindparam("of_branch"),
    col(RunItem.state) == bindparam("was"),
)
_END = _CHANGE.values(state=bindparam("becomes"), error=bindparam("why"))
_ASK_AGAIN = _CHANGE.values(
    state=ItemState.SENT, batch_id=bindparam("in_batch"), seq=bindparam("as_seq"), error=None
)


def _change(
    session: Session,
    run_id: int,
    changes: Sequence[Change],
    counts: dict[int, Counter[ItemState]],
) -> None:
    if not changes:
        return
    session.connection().execute(
        _END,
        [
            {
                **_place(run_id, change, change.was),
                "becomes": change.state.value,
                "why": change.error,
            }
            for change in changes
        ],
    )
    for change in changes:
        counts[change.stage_no][change.was] -= 1
        counts[change.stage_no][change.state] += 1


def _begin(
    session: Session,
    run: Run,
    pipeline: Pipeline,
    begun: Sequence[Begun],
    counts: dict[int, Counter[ItemState]],
    slice_size: int,
) -> set[str]:
    assert run.id is not None  # a stored row has its key
    jobless = [item for item in begun if item.job is None]
    _insert_items(session, run.id, [(item, None, None) for item in jobless if not item.again])
    _change(
        session,
        run.id,
        [
            Change(
                *(item.number, item.stage_no, item.branch),
                *(ItemState.AGAIN, item.state, item.error),
            )
            for item in jobless
            if item.again
        ],
        counts,
    )
    for item in jobless:
        if not item.again:
            counts[item.stage_no][item.state] += 1
    queues: set[str] = set()
    by_stage: dict[int, list[tuple[Begun, JobLine]]] = defaultdict(list)
    for item in begun:
        if item.job is not None:
            by_stage[item.stage_no].append((item, item.job))
    # All that are missing are made before one is locked: who makes one waits for its project's row.
    of_stage = run_batches.batches_for(session, run, pipeline, sorted(by_stage))
    for stage_no, batch_id in sorted(of_stage.items(), key=lambda pair: pair[1]):
        batch = batches.lock(session, batch_id)
        if not open_batches.takes_jobs(batch):
            raise BatchGone(batch.ref, batch.state)
        asked = by_stage[stage_no]
        added = open_batches.add(session, batch, [job for _, job in asked], slice_size=slice_size)
        queues |= added.queues
        numbered = [(item, seq) for seq, (item, _) in enumerate(asked, start=added.first_seq)]
        _insert_items(
            session, run.id, [(item, batch_id, seq) for item, seq in numbered if not item.again]
        )
        again = [
            {
                **_place(run.id, item, ItemState.AGAIN),
                "in_batch": batch_id,
                "as_seq": seq,
            }
            for item, seq in numbered
            if item.again
        ]
        if again:
            session.connection().execute(_ASK_AGAIN, again)
            counts[stage_no][ItemState.AGAIN] -= len(again)
        counts[stage_no][ItemState.SENT] += len(numbered)
    return queues


def _insert_items(
    session: Session, run_id: int, items: Sequence[tuple[Begun, int | None, int | None]]
) -> None:
    if not items:
        return
    insert_rows(
        session,
        RunItem,
        ITEM_COLUMNS,
        [
            (
                *(run_id, item.number, item.stage_no, item.branch, item.state.value),
                *(batch_id, seq, None, None, None, item.error),
            )
            for item, batch_id, seq in items
        ],
    )


def _place(run_id: int, item: Change | Begun, was: ItemState) -> dict[str, object]:
    return {
        "of": run_id,
        "row": item.number,
        "stage": item.stage_no,
        "of_branch": item.branch,
        "was": was.value,
    }
