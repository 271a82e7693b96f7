"""Reading a submission: blocks of bytes in, chunks of checked jobs out; nothing is stored here.

Memory is bounded by a block and a chunk, whatever the size of the upload.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jobs.bad_lines import BadLines
from jobs.errors import EmptySubmission, InvalidSubmission, LineFault, LineTooLong, TooManyJobs
from jobs.lines import MAX_LINE_BYTES, JobLine, LineReader
from jobs.twins import Twins

CHUNK_JOBS = 4000
"""Jobs per commit: some 50 ms of the database's time, so that others get their turn."""

CHUNK_CHARACTERS = 8 << 20
"""Of the lines of a chunk: two of them are in memory, and each is a sign of life of the upload."""

LINES_PER_JOB = 2
"""Lines that a submission may have for each job that it may have: blank ones cost time as well."""


@dataclass(slots=True)
class Chunk:
    """Jobs that were read one after the other; the first has the number `first_seq`.

    Beside each of `jobs` stand its line's number, from 1, and in `firsts` the number of the job that
    asked for the same first, whose answer it gets; None for one that is called for.
    """

    first_seq: int
    jobs: list[JobLine] = field(default_factory=list)
    line_numbers: list[int] = field(default_factory=list)
    firsts: list[int | None] = field(default_factory=list)


class Reading:
    """The jobs of one submission, as its lines arrive. Every method that yields is to be exhausted.

    Bad lines are noted in `bad_lines`, by whoever takes the chunks as well, and are no jobs.
    """

    def __init__(self, reader: LineReader, *, max_jobs: int) -> None:
        self.bad_lines = BadLines()
        self.jobs = 0
        """Valid jobs up to now."""
        self.collapsed = 0
        """Of these, how many get the answer of an earlier one."""
        self._reader = reader
        self._max_jobs = max_jobs
        self._carry = b""
        self._line_number = 0
        self._seen = 0
        self._given = 0
        self._twins = Twins()
        self._chunk = Chunk(0)
        self._chunk_characters = 0

    def take(self, block: bytes) -> Iterator[Chunk]:
        """Read the next bytes of an NDJSON body; yield the chunks that they complete.

        Raises:
            TooManyJobs, LineTooLong: there is more than a batch, or than a line, may have.
        """
        lines = (self._carry + block).split(b"\n")
        self._carry = lines.pop()
        yield from self.take_lines(lines)
        if len(self._carry) > MAX_LINE_BYTES:
            raise _too_long(self._line_number + 1)

    def take_lines(self, lines: Sequence[bytes]) -> Iterator[Chunk]:
        """Read whole lines; blank ones are skipped but counted. Yields and raises as `take` does."""
        first_number = self._line_number + 1
        return self.take_rows(list(enumerate(lines, start=first_number)))

    def take_rows(self, rows: Sequence[tuple[int, bytes | LineFault]]) -> Iterator[Chunk]:
        """Read lines that have numbers of their own, or what is wrong with one. Otherwise as `take_lines`."""
        for line_number, job in self._read(rows):
            self._add(line_number, job)
            if self._is_full():
                yield self._cut()

    def rest(self) -> Iterator[Chunk]:
        """Read what the body ended with, and yield the last chunk. Raises as `take` does."""
        last, self._carry = self._carry, b""
        if last.strip():
            yield from self.take_lines([last])
        if self._chunk.jobs:
            yield self._cut()

    def check(self) -> None:
        """Check that every line was a job, once all were read.

        Raises:
            InvalidSubmission: there are bad lines.
            EmptySubmission: there is no job at all.
        """
        if bad := self.bad_lines.count:
            raise InvalidSubmission(
                f"{_count_of_bad(bad, self._seen)}; nothing was accepted",
                faults=self.bad_lines.reported(),
                fault_count=bad,
            )
        if not self.jobs:
            raise EmptySubmission

    def _add(self, line_number: int, job: JobLine) -> None:
        first_seq = self._twins.first(job.fingerprint, self.jobs) if job.collapses else None
        chunk = self._chunk
        chunk.jobs.append(job)
        chunk.line_numbers.append(line_number)
        chunk.firsts.append(first_seq)
        self._chunk_characters += len(job.request)
        self.jobs += 1
        if first_seq is not None:
            self.collapsed += 1

    def _is_full(self) -> bool:
        return len(self._chunk.jobs) >= CHUNK_JOBS or self._chunk_characters >= CHUNK_CHARACTERS

    def _cut(self) -> Chunk:
        chunk, self._chunk, self._chunk_characters = self._chunk, Chunk(self.jobs), 0
        return chunk

    def _read(self, rows: Sequence[tuple[int, bytes | LineFault]]) -> Iterator[tuple[int, JobLine]]:
        self._seen += len(rows)
        if self._seen > LINES_PER_JOB * self._max_jobs:
            raise TooManyJobs(
                f"more than {LINES_PER_JOB * self._max_jobs:,} lines, most of them blank; a batch "
                f"holds at most {self._max_jobs:,} jobs"
            )
        for self._line_number, raw in rows:
            if not raw or (isinstance(raw, bytes) and raw.isspace()):
                continue
            self._given += 1
            if self._given > self._max_jobs:
                raise TooManyJobs(
                    f"line {self._line_number:,} is job {self._given:,}, and a batch holds at most "
                    f"{self._max_jobs:,}; submit the rest as another batch"
                )
            job = raw if isinstance(raw, LineFault) else self._job(raw)
            if isinstance(job, LineFault):
                self.bad_lines.note(job)
            else:
                yield self._line_number, job

    def _job(self, raw: bytes) -> JobLine | LineFault:
        if len(raw) > MAX_LINE_BYTES:
            raise _too_long(self._line_number)
        return self._reader.read(self._line_number, raw)


def _too_long(line_number: int) -> LineTooLong:
    return LineTooLong(
        f"line {line_number:,} is longer than {MAX_LINE_BYTES:,} bytes; expected one job a line, "
        "without files in it"
    )


def _count_of_bad(bad: int, lines: int) -> str:
    if lines == 1:
        return "the only line is not a valid job"
    return (
        f"{bad:,} of {lines:,} lines {'is not a valid job' if bad == 1 else 'are not valid jobs'}"
    )
