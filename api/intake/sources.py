"""Submissions that the server reads from storage itself, with the operator's own credentials."""

import os
import stat
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool

from jobs.errors import NotFound, UnreadableSource

BLOCK_BYTES = 1 << 20
READ_AHEAD_BYTES = 4 << 20
"""That storage is asked for at once: each request takes it some tens of milliseconds."""


async def source_pieces(url: str) -> AsyncIterator[bytes]:
    """Yield the bytes of a file that `check_source` lets pass.

    Raises:
        NotFound: there is no such file.
        UnreadableSource: it can't be read.
    """
    file = await run_in_threadpool(_open, url)
    try:
        while block := await run_in_threadpool(_read, file, url):
            yield block
    finally:
        await run_in_threadpool(file.close)


def _open(url: str) -> Any:
    import fsspec  # noqa: PLC0415 - a quarter of a second, for whoever uses it

    protocol, _, path = url.partition("://")
    try:
        if protocol == "file" and not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise UnreadableSource(f"{url} is no file")
        return fsspec.filesystem(protocol).open(
            path, "rb", block_size=READ_AHEAD_BYTES, cache_type="readahead"
        )
    except FileNotFoundError:
        raise NotFound(f"there is no {url}") from None
    except ImportError as error:
        raise UnreadableSource(
            f"{protocol}:// is not installed beside this server: {error}"
        ) from error
    except UnreadableSource:
        raise
    except Exception as error:  # each kind of storage has errors of its own
        raise _unreadable(url, error) from error


def _read(file: Any, url: str) -> bytes:
    try:
        block: bytes = file.read(BLOCK_BYTES)
    except Exception as error:  # as above
        raise _unreadable(url, error) from error
    return block


def _unreadable(url: str, error: Exception) -> UnreadableSource:
    # Without its words, which may have more of the configuration in them than the caller knows.
    return UnreadableSource(f"{url} can't be read by the server ({type(error).__name__})")
