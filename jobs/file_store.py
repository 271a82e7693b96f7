"""The bytes of uploaded files: in a folder that every API process sees.

A file is written under another name and gets its own when it is whole and on the disk, so that who
dies while writing leaves nothing that anybody takes for a file.
"""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from jobs.errors import NotFound, StorageFull
from jobs.store.engine.room import RESERVE_BYTES
from jobs.store.surfaces.files import NO_SUCH_FILE

UNFINISHED = ".part"
"""The end of the name of a file that is being written."""

BLOCK_BYTES = 1 << 20

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileStore:
    """A folder of files by their refs."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made when the first file is written."""
        self._folder = folder

    def new(self, ref: str) -> "NewFile":
        """Begin to write a file.

        Raises:
            StorageFull: there is no room for it.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return NewFile(self._folder / ref)
        except (
            OSError
        ) as error:  # also of a disk with free bytes, which may have no room for a name
            raise _told(error) from error

    def open(self, ref: str) -> BinaryIO:
        """Return a file, open to be read.

        Raises:
            NotFound: there is no such file.
        """
        try:
            return (self._folder / ref).open("rb")
        except FileNotFoundError:
            raise NotFound(NO_SUCH_FILE) from None

    def delete(self, ref: str) -> None:
        """Delete a file, if it is there; who reads it reads on."""
        (self._folder / ref).unlink(missing_ok=True)

    def older_than(self, age_s: float) -> Iterator[str]:
        """Yield the names of what was last written so long ago, unfinished files included."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            if path.stat().st_mtime < time.time() - age_s:
                yield path.name


class NewFile:
    """A file that is being written; left without `keep`, it is deleted. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        """Begin to write it; raises StorageFull if there is no room."""
        self.size_bytes = 0
        self._path = path
        self._unfinished = path.with_name(path.name + UNFINISHED)
        self._require_room()
        self._file = self._unfinished.open("xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            StorageFull: there is no room for them, beside what jobs that run may need.
        """
        self._require_room()
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _told(error) from error
        self.size_bytes += len(data)

    def keep(self) -> None:
        """Make it a file: from here on it survives a power cut.

        Raises:
            StorageFull: there is no room for it after all.
        """
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            self._unfinished.rename(self._path)
            _sync_folder(self._path.parent)
        except OSError as error:
            raise _told(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._unfinished.unlink(missing_ok=True)

    def _require_room(self) -> None:
        disk = shutil.disk_usage(self._path.parent)
        if disk.free < min(RESERVE_BYTES, disk.total // 4):
            raise StorageFull(f"{disk.free >> 20:,} MB are free on the disk of uploaded files")


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file's bytes in blocks of a megabyte, and close it."""
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _told(error: OSError) -> Exception:
    return StorageFull("the disk of uploaded files is full") if error.errno in _FULL else error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
