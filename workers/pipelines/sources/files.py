"""Rows of files: of this machine or of object storage, as many as a pattern finds, in order of names."""

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from jobs.errors import UnreadableSource
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.rows import RunFacts
from workers.pipelines.places import filled_in, is_url, storage_of
from workers.pipelines.sources.formats import FORMATS, Format, rows_in

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKED = (".gz", ".zst")


def file_rows(
    source: SourceSection, run: RunFacts, base: Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows with a name of each, which is its file's and its number there.

    Raises:
        UnreadableSource: there is no such file, or one can't be read.
    """
    pattern = filled_in(source.files or "", run)
    if not is_url(pattern):
        pattern = str(base / pattern)
    try:
        system, inner = storage_of(pattern)
        paths = sorted(str(path) for path in system.glob(inner) if system.isfile(path))
    except UnreadableSource:
        raise
    except Exception as error:  # each kind of storage has errors of its own
        raise _unreadable(pattern, error) from error
    if not paths:
        raise UnreadableSource(f"there is no {pattern}")
    for path in paths:
        name = path.rpartition("/")[2]
        with _opened(system, path) as file:
            for number, row in enumerate(rows_in(file, _format(source, path), path), start=1):
                yield f"{name}:{number}", row


def _format(source: SourceSection, path: str) -> Format:
    if source.format != "auto":
        return source.format
    plain = path.removesuffix(".gz").removesuffix(".zst").lower()
    kind = next((kind for ending, kind in FORMATS.items() if plain.endswith(ending)), None)
    if kind is None:
        raise UnreadableSource(
            f"{path}: its name doesn't tell its format ({', '.join(FORMATS)}): name it as `format`"
        )
    return kind


@contextmanager
def _opened(system: Any, path: str) -> Iterator[IO[bytes]]:
    try:
        with system.open(path, "rb") as file:
            if path.endswith(".gz"):
                with gzip.open(file, "rb") as unpacked:
                    yield cast(IO[bytes], unpacked)
            elif path.endswith(".zst"):
                with zstd.open(file, "rb") as unpacked:
                    yield cast(IO[bytes], unpacked)
            else:
                yield file
    except (OSError, EOFError, zstd.ZstdError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: BaseException) -> UnreadableSource:
    # Its operator wrote the path, and reads this: so with the error's own words.
    return UnreadableSource(f"{path} can't be read: {type(error).__name__}: {str(error)[:200]}")
