"""Standard output and error that take no more: what a full disk has no room for, or nobody reads, is lost.

Celery prints a banner when it starts, and a line when it is asked to go: where either can't be written
it takes the fault for the worker's and ends it, with the calls in flight, and can't even say so.
"""

import errno
import io
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
NOBODY_READS = frozenset({errno.EPIPE, errno.EIO})
"""The reader of a pipe has ended; a terminal was closed."""


def outlive_full_disk() -> None:
    """Let no line for standard output or error fail, where these are files."""
    _replace(_is_file, LossyFile)


def outlive_reader() -> None:
    """Let no line for standard output or error fail because whoever read them is gone, as `| head` is.

    For a process that others depend on; a command that only prints had better end.
    """
    _replace(_is_read, UnreadFile)


def _replace(concerns: Callable[[int], bool], kind: type[io.FileIO]) -> None:
    if concerns(1):
        sys.stdout = sys.__stdout__ = _stream(1, kind)  # type: ignore[misc]  # where Celery's words go
    if concerns(2):
        sys.stderr = sys.__stderr__ = _stream(2, kind)  # type: ignore[misc]  # the same


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(_mode(descriptor))


def _is_read(descriptor: int) -> bool:
    """Whether it is a pipe, a socket or a terminal."""
    mode = _mode(descriptor)
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)


def _mode(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_mode
    except OSError:  # closed
        return 0


def _stream(descriptor: int, kind: type[io.FileIO]) -> io.TextIOWrapper:
    raw = kind(descriptor, "w", closefd=False)
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


class UnreadFile(io.FileIO):
    """Takes what is written to it, also if nobody will ever read it."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write, or lose it if nobody reads any more; other faults are raised."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in NOBODY_READS:
                raise
            return len(bytes(data))
