"""Taking in a submission: blocks of bytes in, rows out, nothing visible until it is accepted.

The caller hands over the body as it arrives. Jobs are checked line by line and committed in chunks
under a batch in state `receiving`, which nobody sees; `accept` makes it visible in one commit,
`abandon` removes every trace. Memory is bounded by a block and a chunk, whatever the size of the
upload.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from jobs.errors import BudgetTooSmall
from jobs.lines import LineReader
from jobs.money import short_usd
from jobs.reading import Chunk, Reading
from jobs.sheets.columns import columns_text
from jobs.sheets.rows import Row, SheetRows
from jobs.store import Database, Session
from jobs.store.batches import idempotency, timed, uploads
from jobs.store.batches.jobs import insert_slices
from jobs.store.batches.timed import Inspected
from jobs.store.engine.room import require_room
from jobs.storing import Storing

STORING_S = 10.0
"""How long a chunk may take to be stored: an upload that is cut off begins again from its start."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted submission: its batch, and the queues that now have work."""

    ref: str
    queues: tuple[str, ...]


class Inspector(Protocol):
    """Looks at the jobs of a submission as they are read, and judges them before they are accepted."""

    def add(self, chunk: Chunk) -> None:
        """Look at some jobs."""
        ...

    def conclude(self) -> Inspected:
        """Return what was found out about them; raises what is wrong with them."""
        ...


class Intake:
    """One submission on its way in. Not thread-safe; its methods block on the database."""

    def __init__(
        self,
        database: Database,
        draft: uploads.BatchDraft,
        reader: LineReader,
        *,
        slice_size: int,
        max_jobs: int,
        claim: idempotency.Claim | None = None,
    ) -> None:
        """Begin; with a claim on an idempotency key, raise RequestInProgress if another has it.

        This and whatever stores something raise StorageFull if there is no room.
        """
        self._database = database.with_patience(STORING_S, insists=True)
        self._leaving = database.with_patience(STORING_S)
        self._reader = reader
        self._inspector: Inspector | None = None
        self._max_cost_nanos = draft.max_cost_nanos
        self._columns = draft.columns
        self._run_window = draft.run_window
        self._is_timed = draft.run_window is not None or draft.deadline is not None
        with database.write() as session:
            require_room(session)
            self._batch_id, self._ref = uploads.begin(session, draft)
            if claim is not None:
                idempotency.take(session, claim, self._batch_id)
        self._reading = Reading(reader, max_jobs=max_jobs)
        self._storing = Storing(
            self._database,
            self._batch_id,
            slice_size=slice_size,
            bad_lines=self._reading.bad_lines,
        )

    def inspect_by(self, inspector: Inspector) -> None:
        """Let the jobs be looked at as they come; to be said before the first."""
        self._inspector = inspector

    def take(self, block: bytes) -> None:
        """Read the next bytes of an NDJSON body.

        Raises:
            TooManyJobs, LineTooLong: there is more than a batch, or than a line, may have.
            IllegalTransition: the upload was silent for so long that it was dropped.
        """
        for chunk in self._reading.take(block):
            self._store(chunk)

    def take_lines(self, lines: Sequence[bytes]) -> None:
        """Read whole lines; blank ones are skipped but counted. Raises as `take` does."""
        for chunk in self._reading.take_lines(lines):
            self._store(chunk)

    def begin_sheet(self, sheet: SheetRows) -> None:
        """Say that the rows of a sheet follow: what is wrong is told by the names of its columns."""
        self._reading.bad_lines.names = sheet.names
        self._columns = columns_text(sheet.columns)

    def take_rows(self, rows: Sequence[Row]) -> None:
        """Read rows of a sheet. Raises as `take` does."""
        for chunk in self._reading.take_rows(rows):
            self._store(chunk)

    def touch(self) -> None:
        """Note that the upload lives; may be called from another thread.

        Raises:
            IllegalTransition: it was given up.
        """
        with self._database.write() as session:
            uploads.touch(session, self._batch_id)

    def accept(
        self,
        request_digest: bytes | None = None,
        *,
        also: Callable[[Session, int], None] | None = None,
    ) -> Accepted:
        """Store what is left and make the batch visible, in one commit.

        `request_digest` is noted with the idempotency key; None where there is none. `also` writes what
        must be committed with it, and is given the batch's id; what it raises, this does.

        Raises:
            InvalidSubmission: there are bad lines; `abandon` is to be called.
            EmptySubmission: there is no job at all.
            BudgetTooSmall: no job of it could ever be sent.
            SubmissionError: its inspector says so.
            TooManyJobs, IllegalTransition: as `take` does.
        """
        for chunk in self._reading.rest():
            self._store(chunk)
        self._storing.wait()
        self._reading.check()
        self._check_budget()
        found = Inspected() if self._inspector is None else self._inspector.conclude()
        self._storing.stop()
        slicer = self._storing.slicer
        with self._database.write() as session:
            insert_slices(session, self._batch_id, slicer.rest())
            uploads.accept(
                session,
                self._batch_id,
                total_jobs=self._reading.jobs,
                total_slices=slicer.count,
                collapsed_jobs=self._reading.collapsed,
                columns=self._columns,
            )
            if self._is_timed:
                timed.begin(session, self._batch_id, self._run_window, found)
            if request_digest is not None:
                idempotency.seal(session, self._batch_id, request_digest)
            if also is not None:
                also(session, self._batch_id)
        return Accepted(self._ref, tuple(sorted(slicer.queues)))

    def abandon(self) -> None:
        """Delete whatever was stored of a submission that will not be accepted."""
        self._storing.stop()
        uploads.discard(self._leaving, self._batch_id)

    def _store(self, chunk: Chunk) -> None:
        if self._inspector is not None:
            self._inspector.add(chunk)
        self._storing.store(chunk)

    def _check_budget(self) -> None:
        least_nanos, limit_nanos = self._reader.least_nanos, self._max_cost_nanos
        if least_nanos is not None and limit_nanos is not None and least_nanos > limit_nanos:
            raise BudgetTooSmall(
                f"the cheapest job may cost ${short_usd(least_nanos)}, and the budget is "
                f"${short_usd(limit_nanos)}: give more, or lower `max_tokens`"
            )
