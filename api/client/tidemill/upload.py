"""A submission on its way to the server: its bytes in blocks, and headers to describe them."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePath
from typing import IO

BLOCK_BYTES = 256 * 1024
"""Some eighth of a second on a slow line, so that progress moves."""

STDIN = Path("-")

NDJSON = "application/x-ndjson"
CSV = "text/csv"
_TYPES = {
    ".jsonl": NDJSON,
    ".ndjson": NDJSON,
    ".json": "application/json",
    ".csv": CSV,
    ".tsv": "text/tab-separated-values",
    ".tab": "text/tab-separated-values",
    ".parquet": "application/vnd.apache.parquet",
    ".pq": "application/vnd.apache.parquet",
}
_ENCODINGS = {".gz": "gzip", ".zst": "zstd"}
_MARKS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
"""How packed files begin; nothing else that may be sent begins so."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent. Each call of `blocks` reads it from its start.

    `size_bytes` is None where only the end tells.
    """

    blocks: Callable[[], Iterator[bytes]]
    headers: dict[str, str]
    size_bytes: int | None


def describe(name: str, content_type: str | None = None) -> dict[str, str]:
    """Return the content headers for a file's name; what has no known ending is NDJSON.

    A packed file is sent as it is: `jobs.jsonl.gz` are lines, and `jobs.json.zst` a document. A
    `content_type` that was said counts more than the name.
    """
    path = PurePath(name.lower())
    if (encoding := _ENCODINGS.get(path.suffix)) is not None:
        return {**describe(path.stem, content_type), "content-encoding": encoding}
    return {"content-type": content_type or _TYPES.get(path.suffix, NDJSON)}


@contextmanager
def open_upload(path: Path, content_type: str | None = None) -> Iterator[Upload]:
    """Open a file, or stdin for `-`; `content_type` as in `describe`.

    That it is packed, its beginning tells where its name doesn't: stdin has none. What can't be read
    twice, stdin or a pipe, is copied to an unnamed temporary file as it is sent.

    Raises:
        OSError: the file can't be read.
    """
    if path == STDIN:
        with tempfile.TemporaryFile() as copy:
            yield _read_once(sys.stdin.buffer, copy, describe("", content_type))
        return
    with path.open("rb") as file, tempfile.TemporaryFile() as copy:
        headers = describe(path.name, content_type)
        if not path.is_file():  # a pipe such as <(zcat jobs.gz) has no size of its own
            yield _read_once(file, copy, headers)
            return
        size_bytes = os.fstat(file.fileno()).st_size
        headers = {**_packing(file.read(4)), **headers, "content-length": str(size_bytes)}
        yield Upload(partial(_from_start, file), headers, size_bytes)


@contextmanager
def upload_of(
    blocks: Callable[[], Iterator[bytes]], *, is_once: bool, content_type: str = NDJSON
) -> Iterator[Upload]:
    """Return blocks as something that is sent; those that can be had but once are copied meanwhile."""
    headers = {"content-type": content_type}
    if not is_once:
        yield Upload(blocks, headers, None)
        return
    with tempfile.TemporaryFile() as copy:
        yield Upload(partial(_copied, blocks(), copy), headers, None)


def _read_once(file: IO[bytes], copy: IO[bytes], headers: dict[str, str]) -> Upload:
    blocks = _blocks(file)
    first = next(blocks, b"")
    blocks = chain([first] if first else [], blocks)
    return Upload(partial(_copied, blocks, copy), {**_packing(first), **headers}, None)


def _packing(start: bytes) -> dict[str, str]:
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return {"content-encoding": encoding}
    return {}


def upload_of_copy(copy: IO[bytes]) -> Upload:
    """Return the lines that were written to a file, up to where it stands, as something that is sent."""
    size_bytes = copy.tell()
    headers = {**describe(""), "content-length": str(size_bytes)}
    return Upload(partial(_from_start, copy), headers, size_bytes)


def _from_start(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    yield from _blocks(file)


def _copied(blocks: Iterator[bytes], copy: IO[bytes]) -> Iterator[bytes]:
    """Yield what was read of `blocks` before, and then the rest of them."""
    yield from _from_start(copy)
    for block in blocks:
        copy.write(block)
        yield block


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(partial(file.read, BLOCK_BYTES), b"")
