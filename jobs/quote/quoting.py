"""Quoting a submission: blocks of bytes in, sums out; no row is written and nothing is sent.

It reads as `jobs/ingest.py` does, so that the same lines are bad, and the same jobs collapse.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.bad_lines import duplicate_custom_id
from jobs.errors import EmptySubmission, LineFault
from jobs.lines import LineReader
from jobs.quote.calls import Insistence
from jobs.quote.kept import Answered, nothing_answered
from jobs.quote.ratings import Ratings
from jobs.quote.tally import Tally
from jobs.quote.tallying import Tallying
from jobs.reading import Chunk, Reading
from jobs.sheets.rows import Row, SheetRows
from jobs.store.batches.seen_ids import SeenIds


@dataclass(frozen=True, slots=True)
class Sums:
    """What was read: `jobs` valid ones, of which some are not called for, and the bad lines.

    `collapsed_jobs` ask for the same as an earlier one, of `reused_jobs` an answer is kept. `tallies`
    are of the others. `unpriced` are targets without a price, as PROVIDER/NAME, some of them.
    `least_nanos` is what the cheapest call may cost, as a budget reserves it; None without a budget.
    """

    jobs: int
    collapsed_jobs: int
    reused_jobs: int
    tallies: tuple[Tally, ...]
    unpriced: tuple[str, ...]
    faults: tuple[LineFault, ...]
    fault_count: int
    least_nanos: int | None


class Quoting:
    """One submission that is only looked at. Not thread-safe; to be closed."""

    def __init__(
        self,
        reader: LineReader,
        insistence: Insistence,
        ratings: Ratings,
        *,
        max_jobs: int,
        answered: Answered = nothing_answered,
    ) -> None:
        """Begin; `reader` sizes calls."""
        self._reader = reader
        self._reading = Reading(reader, max_jobs=max_jobs)
        self._tallying = Tallying(insistence, ratings)
        self._ratings = ratings
        self._answered = answered
        self._seen = SeenIds()
        self._collapsed = 0
        self._reused = 0

    def take(self, block: bytes) -> None:
        """Read the next bytes of an NDJSON body.

        Raises:
            TooManyJobs, LineTooLong: there is more than a batch, or than a line, may have.
            StorageFull: there is no room for temporary files.
        """
        for chunk in self._reading.take(block):
            self._add(chunk)

    def take_lines(self, lines: Sequence[bytes]) -> None:
        """Read whole lines; blank ones are skipped but counted. Raises as `take` does."""
        for chunk in self._reading.take_lines(lines):
            self._add(chunk)

    def begin_sheet(self, sheet: SheetRows) -> None:
        """Say that the rows of a sheet follow: what is wrong is told by the names of its columns."""
        self._reading.bad_lines.names = sheet.names

    def take_rows(self, rows: Sequence[Row]) -> None:
        """Read rows of a sheet. Raises as `take` does."""
        for chunk in self._reading.take_rows(rows):
            self._add(chunk)

    def finish(self) -> Sums:
        """Read what is left and return what there was.

        Raises:
            EmptySubmission: there is neither a job nor a bad line.
            TooManyJobs, LineTooLong, StorageFull: as `take` does.
        """
        for chunk in self._reading.rest():
            self._add(chunk)
        bad_lines = self._reading.bad_lines
        if not self._reading.jobs and not bad_lines.count:
            raise EmptySubmission
        tallies = self._tallying.tallies()
        return Sums(
            jobs=sum(tally.jobs for tally in tallies) + self._collapsed + self._reused,
            collapsed_jobs=self._collapsed,
            reused_jobs=self._reused,
            tallies=tallies,
            unpriced=self._ratings.unpriced(),
            faults=tuple(bad_lines.reported()),
            fault_count=bad_lines.count,
            least_nanos=self._reader.least_nanos,
        )

    def close(self) -> None:
        """Delete the temporary file; harmless when done twice."""
        self._seen.close()

    def _add(self, chunk: Chunk) -> None:
        again = self._seen.again([job.custom_id for job in chunk.jobs])
        kept = frozenset(self._answered([job.fingerprint for job in chunk.jobs if job.collapses]))
        for place, job in enumerate(chunk.jobs):
            if place in again:
                fault = duplicate_custom_id(chunk.line_numbers[place], job.custom_id)
                self._reading.bad_lines.note(fault)
            elif chunk.firsts[place] is not None:
                self._collapsed += 1
            elif job.collapses and job.fingerprint in kept:
                self._reused += 1
            else:
                self._tallying.add(job, chunk.first_seq + place)
