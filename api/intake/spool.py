"""Bodies that can't be read before they are whole: kept in a file meanwhile, which has no name."""

import errno
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from starlette.concurrency import run_in_threadpool

from jobs.errors import StorageFull
from jobs.store.engine.room import RESERVE_BYTES

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@asynccontextmanager
async def spooled(pieces: AsyncIterator[bytes], folder: Path) -> AsyncIterator[IO[bytes]]:
    """Write all pieces to a file in `folder` and yield it, at its beginning; it goes with the process.

    Raises:
        StorageFull: there is no room for it, beside what jobs that run may need.
    """
    file = await run_in_threadpool(_new, folder)
    try:
        async for piece in pieces:
            await run_in_threadpool(_append, file, piece, folder)
        await run_in_threadpool(file.seek, 0)
        yield file
    finally:
        # A large file takes a moment to delete.
        await run_in_threadpool(file.close)


def _new(folder: Path) -> IO[bytes]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder, buffering=0)


def _append(file: IO[bytes], piece: bytes, folder: Path) -> None:
    disk = shutil.disk_usage(folder)
    if disk.free < min(RESERVE_BYTES, disk.total // 4):
        raise StorageFull(f"{disk.free >> 20:,} MB are free on the disk of uploads ({folder})")
    left = memoryview(piece)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"the disk of uploads is full ({folder})") from error
        raise
