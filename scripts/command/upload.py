"""A submission on its way to the server: its bytes in blocks, and headers to describe them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO

BLOCK_BYTES = 256 * 1024
"""Some eighth of a second on a slow line, so that progress moves."""

STDIN = Path("-")

_NDJSON = "application/x-ndjson"
_TYPES = {
    ".jsonl": _NDJSON,
    ".ndjson": _NDJSON,
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent: `blocks` can be read once. `size_bytes` is None where only the end tells."""

    blocks: Iterator[bytes]
    headers: dict[str, str]
    size_bytes: int | None


def describe(name: str) -> dict[str, str]:
    """Return the content headers for a file's name; what has no known ending is NDJSON."""
    return {"content-type": _TYPES.get(PurePath(name.lower()).suffix, _NDJSON)}


@contextmanager
def open_upload(path: Path) -> Iterator[Upload]:
    """Open a file, or stdin for `-`.

    Raises:
        OSError: the file can't be read.
    """
    if path == STDIN:
        yield Upload(_blocks(sys.stdin.buffer), describe(""), None)
        return
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        headers = describe(path.name)
        # A pipe such as <(zcat jobs.gz) has no size of its own.
        size_bytes = status.st_size if path.is_file() else None
        if size_bytes is not None:
            headers["content-length"] = str(size_bytes)
        yield Upload(_blocks(file), headers, size_bytes)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, BLOCK_BYTES), b"")
