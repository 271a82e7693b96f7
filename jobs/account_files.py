"""A provider's account while it is read: its billed calls, put down by ranges of neighbouring jobs.

Memory is bounded whatever the account has: by what is kept of each file before it goes to the disk, and
by the calls of one file when that is read back.
"""

import shutil
from array import array
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

import msgspec

from jobs.billing import BilledCall
from jobs.errors import StorageFull, SubmissionTooLarge
from jobs.store.engine.room import RESERVE_BYTES

FILES = 64
"""That an account is put down in: a million jobs make some 16,000 to a file."""

FEWEST_JOBS_PER_FILE = 1000

IN_MEMORY_BYTES = 128 * 1024
"""Of each file; what is more goes to the disk."""

MAX_CALLS_PER_JOB = 1000
"""Far more than anybody pays for: a job has five attempts that count, and a lost one for each outage."""

MAX_CALLS_PER_FILE = 200_000
"""Read at once, some 100 MB; twelve for each job of the largest batch."""


class JobRange(NamedTuple):
    """The jobs whose calls are in one file."""

    number: int
    first_seq: int
    last_seq: int


class FiledCalls(NamedTuple):
    """The calls of one file, and the names of its jobs, by the job's number."""

    calls: dict[int, list[BilledCall]]
    names: dict[int, str]


class AccountFiles:
    """Files without a name in a folder, gone when they are closed or their process dies."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._folder = folder
        self._jobs = jobs
        self._width = max(FEWEST_JOBS_PER_FILE, -(-jobs // FILES))
        self._files: dict[int, SpooledTemporaryFile[bytes]] = {}
        self._stack = ExitStack()
        self._calls_of_job = array("H", bytes(2 * jobs))
        self._calls_in_file: dict[int, int] = defaultdict(int)

    def ranges(self) -> Iterator[JobRange]:
        """Yield all jobs, a file's at a time."""
        for number, first_seq in enumerate(range(0, self._jobs, self._width)):
            yield JobRange(number, first_seq, first_seq + self._width - 1)

    def put(self, seq: int, name: str, call: BilledCall) -> None:
        """Put a call for a job down.

        Raises:
            SubmissionTooLarge: the account has more calls for this job, or its neighbours, than can be
                compared.
            StorageFull: the disk takes no more.
        """
        number = seq // self._width
        if self._calls_of_job[seq] >= MAX_CALLS_PER_JOB:
            raise SubmissionTooLarge(
                f"the account has more than {MAX_CALLS_PER_JOB:,} billed calls for the job "
                f"{name[:80]!r}: is it this batch's alone?"
            )
        if self._calls_in_file[number] >= MAX_CALLS_PER_FILE:
            raise SubmissionTooLarge(
                f"the account has more than {MAX_CALLS_PER_FILE:,} billed calls for "
                f"{self._width:,} neighbouring jobs, {name[:80]!r} among them: is it this batch's "
                "alone?"
            )
        self._calls_of_job[seq] += 1
        self._calls_in_file[number] += 1
        with self._told_if_full():
            self._file(number).write(_encode((seq, name, call)) + b"\n")

    def read(self, jobs: JobRange) -> FiledCalls:
        """Return the calls of one file."""
        found = FiledCalls(defaultdict(list), {})
        if (file := self._files.get(jobs.number)) is not None:
            with self._told_if_full():
                file.seek(0)
            for text in file:
                seq, found.names[seq], call = _decode(text)
                found.calls[seq].append(call)
        return found

    def require_room(self) -> None:
        """Return if the disk has room for more than the jobs that run may need.

        Raises:
            StorageFull: it has not.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disk = shutil.disk_usage(self._folder)
        if disk.free < min(RESERVE_BYTES, disk.total // 4):
            raise StorageFull(f"{disk.free >> 20:,} MB are free on the disk of {self._folder}")

    def close(self) -> None:
        """Delete everything."""
        self._stack.close()

    def _file(self, number: int) -> "SpooledTemporaryFile[bytes]":
        if number not in self._files:
            file = SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(self._folder))  # noqa: SIM115 - the stack closes it
            self._files[number] = self._stack.enter_context(file)
        return self._files[number]

    @contextmanager
    def _told_if_full(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"the account can't be kept in {self._folder}: {error.strerror}"
            raise StorageFull(reason) from error


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[int, str, BilledCall]).decode
