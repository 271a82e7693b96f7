"""Taking in a submission: blocks of bytes in, rows out, nothing visible until it is accepted.

The caller hands over the body as it arrives. Jobs are checked line by line and committed in chunks
under a batch in state `receiving`, which nobody sees; `accept` makes it visible in one commit,
`abandon` removes every trace. Memory is bounded by a block and a chunk, whatever the size of the
upload.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from jobs.errors import (
    REPORTED_FAULTS,
    BudgetTooSmall,
    DuplicateCustomId,
    EmptySubmission,
    InvalidSubmission,
    LineFault,
    LineTooLong,
    TooManyJobs,
)
from jobs.lines import MAX_LINE_BYTES, JobLine, LineReader
from jobs.money import short_usd
from jobs.store import Database, batches, idempotency
from jobs.store.jobs import JobRow, SliceRange, insert_chunk, insert_slices, seqs_of
from jobs.store.room import require_room
from jobs.twins import Twins

CHUNK_JOBS = 4000
"""Jobs per commit: some 50 ms of the database's time, so that others get their turn."""

CHUNK_CHARACTERS = 8 << 20
"""Of the lines of a chunk: two of them are in memory, and each is a sign of life of the upload."""

STORING_S = 10.0
"""How long a chunk may take to be stored: an upload that is cut off begins again from its start."""

LINES_PER_JOB = 2
"""Lines that a submission may have for each job that it may have: blank ones cost time as well."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted submission: its batch, and the queues that now have work."""

    ref: str
    queues: tuple[str, ...]


class Slicer:
    """Cuts slices from a stream of jobs: of one queue each, `size` jobs at most."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: dict[str, tuple[int, int, int]] = {}
        self._next_no = 0
        self.queues: set[str] = set()

    @property
    def count(self) -> int:
        """How many slices have been cut."""
        return self._next_no

    def add(self, seq: int, queue: str) -> SliceRange | None:
        """Add a job; return the slice that it completes, if it does."""
        self.queues.add(queue)
        first, _last, jobs = self._open.get(queue, (seq, seq, 0))
        if jobs + 1 < self._size:
            self._open[queue] = (first, seq, jobs + 1)
            return None
        self._open.pop(queue, None)
        return self._cut(queue, first, seq, jobs + 1)

    def rest(self) -> list[SliceRange]:
        """Return the slices that are not full, at the end of the stream."""
        rest = [self._cut(queue, *range_) for queue, range_ in self._open.items()]
        self._open.clear()
        return rest

    def _cut(self, queue: str, first_seq: int, last_seq: int, jobs: int) -> SliceRange:
        piece = SliceRange(self._next_no, queue, first_seq, last_seq, jobs)
        self._next_no += 1
        return piece


@dataclass(frozen=True, slots=True)
class _Storing:
    """A chunk that is being committed while the next one is read."""

    done: Future[None]
    chunk: Sequence[JobLine]
    lines: Sequence[int]


class Intake:
    """One submission on its way in. Not thread-safe; its methods block on the database.

    One chunk is read while the one before is committed, so that neither waits for the other.
    """

    def __init__(
        self,
        database: Database,
        draft: batches.BatchDraft,
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
        self._max_jobs = max_jobs
        self._max_cost_nanos = draft.max_cost_nanos
        self._slicer = Slicer(slice_size)
        self._carry = b""
        self._line_number = 0
        self._given = 0
        self._jobs = 0
        self._twins = Twins()
        self._collapsed = 0
        self._chunk: list[JobLine] = []
        self._chunk_lines: list[int] = []
        self._chunk_characters = 0
        self._faults: list[LineFault] = []
        self._fault_count = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._storing: _Storing | None = None
        with database.write() as session:
            require_room(session)
            self._batch_id, self._ref = batches.begin(session, draft)
            if claim is not None:
                idempotency.take(session, claim, self._batch_id)

    def take(self, block: bytes) -> None:
        """Read the next bytes of an NDJSON body.

        Raises:
            TooManyJobs, LineTooLong: there is more than a batch, or than a line, may have.
            IllegalTransition: the upload was silent for so long that it was dropped.
        """
        lines = (self._carry + block).split(b"\n")
        self._carry = lines.pop()
        self.take_lines(lines)
        if len(self._carry) > MAX_LINE_BYTES:
            raise _too_long(self._line_number + 1)

    def take_lines(self, lines: Sequence[bytes]) -> None:
        """Read whole lines; blank ones are skipped but counted. Raises as `take` does."""
        for line_number, job in self._read(lines):
            self._chunk.append(job)
            self._chunk_lines.append(line_number)
            self._chunk_characters += len(job.request)
            if len(self._chunk) >= CHUNK_JOBS or self._chunk_characters >= CHUNK_CHARACTERS:
                self._store_chunk()

    def touch(self) -> None:
        """Note that the upload lives; may be called from another thread.

        Raises:
            IllegalTransition: it was given up.
        """
        with self._database.write() as session:
            batches.touch(session, self._batch_id)

    def accept(self, request_digest: bytes | None = None) -> Accepted:
        """Store what is left and make the batch visible, in one commit.

        `request_digest` is noted with the idempotency key; None where there is none.

        Raises:
            InvalidSubmission: there are bad lines; `abandon` is to be called.
            EmptySubmission: there is no job at all.
            BudgetTooSmall: no job of it could ever be sent.
            TooManyJobs, IllegalTransition: as `take` does.
        """
        last, self._carry = self._carry, b""
        if last.strip():
            self.take_lines([last])
        self._store_chunk()
        self._wait_for_store()
        if self._fault_count:
            raise InvalidSubmission(
                f"{_bad_lines(self._fault_count, self._line_number)}; nothing was accepted",
                faults=sorted(self._faults, key=lambda fault: fault.line),
                fault_count=self._fault_count,
            )
        if not self._jobs:
            raise EmptySubmission
        self._check_budget()
        self._thread.shutdown()
        with self._database.write() as session:
            insert_slices(session, self._batch_id, self._slicer.rest())
            batches.accept(
                session,
                self._batch_id,
                total_jobs=self._jobs,
                total_slices=self._slicer.count,
                collapsed_jobs=self._collapsed,
            )
            if request_digest is not None:
                idempotency.seal(session, self._batch_id, request_digest)
        return Accepted(self._ref, tuple(sorted(self._slicer.queues)))

    def abandon(self) -> None:
        """Delete whatever was stored of a submission that will not be accepted."""
        self._thread.shutdown()
        batches.discard(self._leaving, self._batch_id)

    def _check_budget(self) -> None:
        least_nanos, limit_nanos = self._reader.least_nanos, self._max_cost_nanos
        if least_nanos is not None and limit_nanos is not None and least_nanos > limit_nanos:
            raise BudgetTooSmall(
                f"the cheapest job may cost ${short_usd(least_nanos)}, and the budget is "
                f"${short_usd(limit_nanos)}: give more, or lower `max_tokens`"
            )

    def _read(self, lines: Sequence[bytes]) -> Iterator[tuple[int, JobLine]]:
        read = self._reader.read
        if self._line_number + len(lines) > LINES_PER_JOB * self._max_jobs:
            raise TooManyJobs(
                f"more than {LINES_PER_JOB * self._max_jobs:,} lines, most of them blank; a batch "
                f"holds at most {self._max_jobs:,} jobs"
            )
        for raw in lines:
            self._line_number += 1
            if not raw or raw.isspace():
                continue
            if len(raw) > MAX_LINE_BYTES:
                raise _too_long(self._line_number)
            self._given += 1
            if self._given > self._max_jobs:
                raise TooManyJobs(
                    f"line {self._line_number:,} is job {self._given:,}, and a batch holds at most "
                    f"{self._max_jobs:,}; submit the rest as another batch"
                )
            job = read(self._line_number, raw)
            if isinstance(job, LineFault):
                self._note(job)
            else:
                yield self._line_number, job

    def _note(self, fault: LineFault) -> None:
        self._fault_count += 1
        if len(self._faults) < REPORTED_FAULTS:
            self._faults.append(fault)

    def _store_chunk(self) -> None:
        """Hand the chunk over to be committed; the one before is by then.

        Once a line was bad the submission will be refused: then jobs are only checked, not stored.
        """
        chunk, lines = self._chunk, self._chunk_lines
        self._chunk, self._chunk_lines, self._chunk_characters = [], [], 0
        self._wait_for_store()
        if self._fault_count:
            self._note_duplicates(chunk, lines)
        elif chunk:
            rows, cut = self._rows(chunk)
            self._storing = _Storing(self._thread.submit(self._commit, rows, cut), chunk, lines)
        self._jobs += len(chunk)

    def _wait_for_store(self) -> None:
        """Return when the chunk that was handed over is committed, or its duplicates are noted."""
        storing, self._storing = self._storing, None
        if storing is None:
            return
        try:
            storing.done.result()
        except DuplicateCustomId:
            self._note_duplicates(storing.chunk, storing.lines)

    def _rows(self, chunk: Sequence[JobLine]) -> tuple[list[JobRow], list[SliceRange]]:
        """Number the jobs of a chunk; return their rows, and the slices that they complete."""
        rows: list[JobRow] = []
        cut: list[SliceRange] = []
        for seq, job in enumerate(chunk, start=self._jobs):
            queue = job.resolved.queue(self._batch_id, seq)
            first_seq = self._twins.first(job.fingerprint, seq) if job.collapses else None
            rows.append(
                (
                    self._batch_id,
                    seq,
                    job.custom_id,
                    job.kind,
                    queue,
                    job.request,
                    job.estimated_tokens,
                    job.fingerprint,
                    first_seq,
                )
            )
            if first_seq is not None:
                self._collapsed += 1
            if (piece := self._slicer.add(seq, queue)) is not None:
                cut.append(piece)
        return rows, cut

    def _commit(self, rows: Sequence[JobRow], cut: Sequence[SliceRange]) -> None:
        with self._database.write() as session:
            require_room(session)
            batches.touch(session, self._batch_id)
            insert_chunk(session, rows)
            insert_slices(session, self._batch_id, cut)

    def _note_duplicates(self, chunk: Sequence[JobLine], lines: Sequence[int]) -> None:
        """Find the custom_ids that kept a chunk from being stored."""
        with self._database.read() as session:
            seen = set(seqs_of(session, self._batch_id, [job.custom_id for job in chunk]))
        for line_number, job in zip(lines, chunk, strict=True):
            if job.custom_id in seen:
                self._note(
                    LineFault(
                        line_number,
                        "duplicate_custom_id",
                        "custom_id",
                        f"{job.custom_id[:80]!r} stands earlier in this submission; "
                        "expected an id that is unique in its batch",
                    )
                )
            seen.add(job.custom_id)


def _too_long(line_number: int) -> LineTooLong:
    return LineTooLong(
        f"line {line_number:,} is longer than {MAX_LINE_BYTES:,} bytes; expected one job a line, "
        "without files in it"
    )


def _bad_lines(bad: int, lines: int) -> str:
    if lines == 1:
        return "the only line is not a valid job"
    return (
        f"{bad:,} of {lines:,} lines {'is not a valid job' if bad == 1 else 'are not valid jobs'}"
    )
