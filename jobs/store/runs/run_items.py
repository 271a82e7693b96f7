"""The rows of a run in its stages: what is there of each, and what became of their jobs."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import func, select, tuple_
from sqlmodel import Session, col

from jobs.states import ItemState, ResultStatus
from jobs.store.results.results import is_one_of
from jobs.tables import Result, RunItem

SOURCE_STAGE = -1
"""Where the rows are as the source gave them."""

Place = tuple[int, str]
"""A stage and a branch."""

JobKey = tuple[int, int]
"""A batch's id and a job's number."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A row whose job in a stage has its result."""

    number: int
    stage_no: int
    branch: str
    position: int
    status: str
    error_code: str | None
    job: JobKey

    @property
    def is_good(self) -> bool:
        """Whether there is an output."""
        return self.status == ResultStatus.SUCCEEDED


@dataclass(frozen=True, slots=True)
class Item:
    """A row in a stage: where it stands, and its job if it has one."""

    state: ItemState
    job: JobKey | None


@dataclass(frozen=True, slots=True)
class TakenRow:
    """A row as its source gave it. `document` is JSON."""

    number: int
    key: str
    document: str

    @property
    def fields(self) -> Mapping[str, Any]:
        """Its fields."""
        decoded: Mapping[str, Any] = msgspec.json.decode(self.document)
        return decoded


def ended_after(session: Session, batch_id: int, after: int, limit: int) -> list[Ended]:
    """Return what has ended in a stage's batch after a place in the order of its results."""
    rows: Any = session.connection().execute(
        select(
            *(col(RunItem.number), col(RunItem.stage_no), col(RunItem.branch)),
            *(col(Result.position), col(Result.status), col(Result.error_code), col(Result.seq)),
        )
        .join(
            RunItem,
            (col(RunItem.batch_id) == col(Result.batch_id)) & (col(RunItem.seq) == col(Result.seq)),
        )
        .where(
            col(Result.batch_id) == batch_id,
            # Positions have no gaps; said so, nothing else is looked at.
            col(Result.position).between(after + 1, after + limit),
        )
        .order_by(col(Result.position))
    )
    return [
        Ended(row[0], row[1], row[2], row[3], row[4], row[5], (batch_id, row[6])) for row in rows
    ]


def items_of(
    session: Session, run_id: int, numbers: Collection[int]
) -> dict[int, dict[Place, Item]]:
    """Return what there is of some rows in all stages, by their numbers and places."""
    found: dict[int, dict[Place, Item]] = {number: {} for number in numbers}
    rows = session.connection().execute(
        select(
            *(col(RunItem.number), col(RunItem.stage_no), col(RunItem.branch)),
            *(col(RunItem.state), col(RunItem.batch_id), col(RunItem.seq)),
        ).where(
            col(RunItem.run_id) == run_id,
            is_one_of(session, col(RunItem.number), sorted(numbers)),
            col(RunItem.stage_no) > SOURCE_STAGE,
        )
    )
    for number, stage_no, branch, state, batch_id, seq in rows:
        job = None if batch_id is None or seq is None else (batch_id, seq)
        found[number][stage_no, branch] = Item(ItemState(state), job)
    return found


def rows_of(session: Session, run_id: int, numbers: Collection[int]) -> dict[int, TakenRow]:
    """Return some rows as their source gave them, by their numbers."""
    rows = session.connection().execute(
        select(col(RunItem.number), col(RunItem.key), col(RunItem.document)).where(
            col(RunItem.run_id) == run_id,
            is_one_of(session, col(RunItem.number), sorted(numbers)),
            col(RunItem.stage_no) == SOURCE_STAGE,
        )
    )
    return {number: TakenRow(number, key or "", document or "{}") for number, key, document in rows}


def outputs_of(session: Session, jobs: Iterable[JobKey]) -> dict[JobKey, Any]:
    """Return the outputs of jobs that succeeded, decoded."""
    of_batch: dict[int, list[int]] = defaultdict(list)
    for batch_id, seq in set(jobs):
        of_batch[batch_id].append(seq)
    outputs: dict[JobKey, Any] = {}
    for batch_id, seqs in of_batch.items():
        rows = session.connection().execute(
            select(col(Result.seq), col(Result.output)).where(
                col(Result.batch_id) == batch_id,
                is_one_of(session, col(Result.seq), sorted(seqs)),
                col(Result.status) == ResultStatus.SUCCEEDED,
            )
        )
        outputs.update(
            ((batch_id, seq), None if output is None else msgspec.json.decode(output))
            for seq, output in rows
        )
    return outputs


def to_ask_again(
    session: Session, run_id: int, stage_no: int, limit: int
) -> Sequence[tuple[int, str]]:
    """Return rows (number, branch) of a stage that are to get another job."""
    rows = session.connection().execute(
        select(col(RunItem.number), col(RunItem.branch))
        .where(
            col(RunItem.run_id) == run_id,
            col(RunItem.stage_no) == stage_no,
            col(RunItem.state) == ItemState.AGAIN,
        )
        .order_by(col(RunItem.number), col(RunItem.branch))
        .limit(limit)
    )
    return [(number, branch) for number, branch in rows]


def keys_there(session: Session, run_id: int, keys: Collection[str]) -> dict[str, str | None]:
    """Return the digests of the rows of a run that have one of these keys, by key."""
    rows = session.connection().execute(
        select(col(RunItem.key), col(RunItem.digest)).where(
            col(RunItem.run_id) == run_id, col(RunItem.key).in_(list(keys))
        )
    )
    return {key: digest for key, digest in rows if key is not None}


def output_page(
    session: Session, run_id: int, stage_no: int, after: tuple[int, str], limit: int
) -> list[tuple[int, str]]:
    """Return the next rows (number, branch) that a stage has done, in the order of the source."""
    rows = session.connection().execute(
        select(col(RunItem.number), col(RunItem.branch))
        .where(
            col(RunItem.run_id) == run_id,
            col(RunItem.stage_no) == stage_no,
            col(RunItem.state) == ItemState.DONE,
            tuple_(col(RunItem.number), col(RunItem.branch)) > tuple_(*after),
        )
        .order_by(col(RunItem.number), col(RunItem.branch))
        .limit(limit)
    )
    return [(number, branch) for number, branch in rows]


def failures(session: Session, run_id: int, limit: int) -> list[tuple[str, int, str, str | None]]:
    """Return rows that failed: (key, stage, branch, why), in the order of the source.

    Why is None where the row's job tells: see `ended_after`.
    """
    source = select(col(RunItem.number), col(RunItem.key)).where(
        col(RunItem.run_id) == run_id, col(RunItem.stage_no) == SOURCE_STAGE
    )
    named = source.subquery()
    rows = session.connection().execute(
        select(
            named.c.key,
            col(RunItem.stage_no),
            col(RunItem.branch),
            func.coalesce(col(RunItem.error), col(Result.error_code)),
        )
        .join(named, named.c.number == col(RunItem.number))
        .outerjoin(
            Result,
            (col(Result.batch_id) == col(RunItem.batch_id)) & (col(Result.seq) == col(RunItem.seq)),
        )
        .where(col(RunItem.run_id) == run_id, col(RunItem.state) == ItemState.FAILED)
        .order_by(col(RunItem.number), col(RunItem.stage_no), col(RunItem.branch))
        .limit(limit)
    )
    return [tuple(row) for row in rows]
