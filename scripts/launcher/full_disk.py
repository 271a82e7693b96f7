"""Standard output and error into files whose disk may be full: what finds no room is lost, and counted.

Celery prints a banner when it starts, and a line when it is asked to go: where either can't be written
it takes the fault for the worker's and ends it, with the calls in flight, and can't even say so.
"""

import errno
import io
import os
import stat
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def outlive_full_disk() -> None:
    """Let no line for standard output or error fail, where these are files."""
    if _is_file(1):
        sys.stdout = sys.__stdout__ = _stream(1)  # type: ignore[misc]  # where Celery's words go
    if _is_file(2):
        sys.stderr = sys.__stderr__ = _stream(2)  # type: ignore[misc]  # the same


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:  # closed
        return False


def _stream(descriptor: int) -> io.TextIOWrapper:
    raw = LossyFile(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )


class LossyFile(io.FileIO):
    """Takes what is written to it. Once there is room again it says how many lines were lost."""

    _lost_lines = 0

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write, or lose it if the disk has no room; other faults are raised."""
        block = bytes(data)
        try:
            if self._lost_lines:
                super().write(f"\n{self._lost_lines} lines were lost: the disk was full\n".encode())
                self._lost_lines = 0
            return super().write(block)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self._lost_lines += block.count(b"\n")
            return len(block)
