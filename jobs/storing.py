"""Storing a submission: chunks of jobs in, rows out, of a batch that nobody sees yet."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from jobs.bad_lines import BadLines, duplicate_custom_id
from jobs.errors import DuplicateCustomId
from jobs.reading import Chunk
from jobs.slicer import Slicer
from jobs.store import Database
from jobs.store.batches import uploads
from jobs.store.batches.jobs import JobRow, SliceRange, insert_chunk, insert_slices, seqs_of
from jobs.store.engine.room import require_room


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A chunk that is being committed while the next one is read."""

    done: Future[None]
    chunk: Chunk


class Storing:
    """The rows of one submission. Not thread-safe; its methods block on the database.

    One chunk is read while the one before is committed, so that neither waits for the other.
    A custom_id that stands twice is noted in `bad_lines`. Once that has an entry, from whoever, the
    submission will be refused: from then on ids are only compared, and nothing is stored.
    """

    def __init__(
        self, database: Database, batch_id: int, *, slice_size: int, bad_lines: BadLines
    ) -> None:
        """Store under a batch in state `receiving`.

        Whatever stores something raises StorageFull if there is no room, and IllegalTransition if
        the upload was silent for so long that it was dropped.
        """
        self.slicer = Slicer(slice_size)
        self._database = database
        self._batch_id = batch_id
        self._bad_lines = bad_lines
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="intake")
        self._under_way: _UnderWay | None = None

    def store(self, chunk: Chunk) -> None:
        """Hand the next chunk over to be committed; the one before is by then."""
        self.wait()
        if self._bad_lines.count:
            self._note_duplicates(chunk)
            return
        rows, cut = self._rows(chunk)
        self._under_way = _UnderWay(self._thread.submit(self._commit, rows, cut), chunk)

    def wait(self) -> None:
        """Return when the chunk that was handed over is committed, or its duplicates are noted."""
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            return
        try:
            under_way.done.result()
        except DuplicateCustomId:
            self._note_duplicates(under_way.chunk)

    def stop(self) -> None:
        """Return when nothing is being committed any more, whatever became of it."""
        self._thread.shutdown()

    def _rows(self, chunk: Chunk) -> tuple[list[JobRow], list[SliceRange]]:
        """Return the rows of a chunk's jobs, and the slices that they complete."""
        rows: list[JobRow] = []
        cut: list[SliceRange] = []
        numbered = enumerate(zip(chunk.jobs, chunk.firsts, strict=True), start=chunk.first_seq)
        for seq, (job, first_seq) in numbered:
            queue = job.resolved.queue(self._batch_id, seq)
            rows.append(
                (
                    self._batch_id,
                    seq,
                    job.custom_id,
                    job.kind,
                    queue,
                    job.request,
                    job.estimated_tokens,
                    job.fingerprint if job.collapses else b"",
                    first_seq,
                )
            )
            if (piece := self.slicer.add(seq, queue)) is not None:
                cut.append(piece)
        return rows, cut

    def _commit(self, rows: Sequence[JobRow], cut: Sequence[SliceRange]) -> None:
        with self._database.write() as session:
            require_room(session)
            uploads.touch(session, self._batch_id)
            insert_chunk(session, rows)
            insert_slices(session, self._batch_id, cut)

    def _note_duplicates(self, chunk: Chunk) -> None:
        """Find the custom_ids that kept a chunk from being stored."""
        with self._database.read() as session:
            seen = set(seqs_of(session, self._batch_id, [job.custom_id for job in chunk.jobs]))
        for line_number, job in zip(chunk.line_numbers, chunk.jobs, strict=True):
            if job.custom_id in seen:
                self._bad_lines.note(duplicate_custom_id(line_number, job.custom_id))
            seen.add(job.custom_id)
