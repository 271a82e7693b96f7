"""Use case: retry a batch. Its jobs make a new one, in which what is good already is not called for again.

The lines are read anew, under the defaults of the new batch: one that is no valid job any more is told as
at a submission. The new batch has the same jobs by the same numbers, which is how its workers find what
became of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from jobs.deadlines import AfterDeadline, Deadline, RunWindow
from jobs.defaults import JobDefaults
from jobs.errors import IllegalTransition, InvalidParameter
from jobs.ingest import Intake
from jobs.states import FINAL_BATCH_STATES, LaneWish, Priority
from jobs.store import Database, Session, now
from jobs.store.batches import batches, retried, timed
from jobs.store.batches.uploads import BatchDraft
from jobs.tables import Batch


@dataclass(frozen=True, slots=True)
class Retry:
    """What a user wants of a retry; what is None is as in the batch before.

    `changes` are defaults of its jobs by their names, as texts. `codes` are the error codes of the jobs that
    are to be run again; none for all that failed.
    """

    project_id: int
    ref: str
    changes: Mapping[str, str]
    codes: Sequence[str] = ()
    name: str | None = None
    priority: Priority | None = None
    max_cost_nanos: int | None = None
    after_deadline: AfterDeadline | None = None
    run_window: RunWindow | None = None
    lane: LaneWish | None = None
    deadline: Deadline | None = None
    """Without one there is none: that of the batch before is over."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The batch to make of `batch_id`, which has so many `jobs`."""

    draft: BatchDraft
    defaults: JobDefaults
    batch_id: int
    jobs: int


def prepare(session: Session, wanted: Retry) -> Prepared:
    """Return the batch that a retry makes, and of which.

    Raises:
        NotFound: there is no such batch in the project.
        IllegalTransition: it has not ended, or it holds live calls, whose texts were not kept.
        InvalidParameter: a default can't be, or no job has failed with one of the codes.
    """
    batch = batches.find(session, wanted.project_id, wanted.ref)
    assert batch.id is not None  # a stored row has its key
    if batch.is_live:
        raise IllegalTransition(f"batch {batch.ref} holds live calls, whose texts were not kept")
    if batch.state not in FINAL_BATCH_STATES:
        raise IllegalTransition(
            f"batch {batch.ref} is {batch.state}, and only one that has ended can be retried"
        )
    _check_codes(session, batch.id, wanted.codes)
    defaults = JobDefaults.from_json(batch.defaults).changed(wanted.changes)
    draft = replace(_draft(batch, defaults, wanted), deadline=_deadline(session, wanted))
    return Prepared(draft, defaults, batch.id, batch.total_jobs)


def read_again(database: Database, prepared: Prepared, intake: Intake) -> None:
    """Hand all lines of the batch before to an intake, which is accepted by the caller.

    Raises:
        SubmissionError: see `Intake`.
    """
    seq = -1
    while True:
        with database.read() as session:
            lines = retried.lines_after(session, prepared.batch_id, seq)
        if not lines:
            return
        intake.take_lines(lines)
        seq += len(lines)


def _draft(batch: Batch, defaults: JobDefaults, wanted: Retry) -> BatchDraft:
    cost_nanos = wanted.max_cost_nanos
    return BatchDraft(
        project_id=wanted.project_id,
        defaults=defaults.to_json(),
        name=batch.name if wanted.name is None else wanted.name,
        priority=Priority(batch.priority) if wanted.priority is None else wanted.priority,
        max_cost_nanos=batch.max_cost_nanos if cost_nanos is None else cost_nanos,
        after_deadline=AfterDeadline(batch.after_deadline)
        if wanted.after_deadline is None
        else wanted.after_deadline,
        run_window=timed.window_of(batch) if wanted.run_window is None else wanted.run_window,
        lane=LaneWish(batch.lane) if wanted.lane is None else wanted.lane,
        retry_of=batch.ref,
        retry_codes=",".join(sorted({*wanted.codes})) or None,
        columns=batch.columns,
    )


def _deadline(session: Session, wanted: Retry) -> datetime | None:
    if wanted.deadline is None:
        return None
    try:
        return wanted.deadline.after(now(session))
    except ValueError as error:
        raise InvalidParameter(f"`deadline`: {error}", field="deadline") from None


def _check_codes(session: Session, batch_id: int, codes: Sequence[str]) -> None:
    if not codes:
        return
    known = retried.failure_codes(session, batch_id)
    if unknown := sorted({*codes} - known):
        there_are = f"there are {', '.join(sorted(known))}" if known else "none has failed"
        raise InvalidParameter(
            f"`code`: no job of the batch has failed with {unknown[0][:80]!r}; {there_are}"
        )
