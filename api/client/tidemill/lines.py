"""Jobs as a program has them, as the lines that are sent: mappings, lines, the rows of a DataFrame."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from .upload import BLOCK_BYTES

Job = Mapping[str, Any] | str | bytes
"""A job, or a line that is JSON already."""

WHOLE = frozenset({"max_tokens", "seed", "n", "part_tokens"})
"""Fields of jobs that are whole numbers, which pandas holds as floats in a column with gaps."""

EXACT = 2.0**53
"""Up to here a float holds every whole number."""

ROWS_AT_ONCE = 1000
"""Of a DataFrame, as Python's own values."""


def blocks_of(jobs: Iterable[Job]) -> Iterator[bytes]:
    """Yield the jobs as NDJSON, in blocks.

    Raises:
        TypeError: one is none, or holds what JSON can't.
    """
    block = bytearray()
    for job in jobs:
        block += line_of(job)
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def line_of(job: Job) -> bytes:
    """Return a job as a line of NDJSON.

    Raises:
        TypeError: it is none, or holds what JSON can't.
    """
    match job:
        case bytes():
            return job.rstrip(b"\r\n") + b"\n"
        case str():
            return job.rstrip("\r\n").encode() + b"\n"
        case Mapping():
            return encoded(dict(job)) + b"\n"
        case _:
            raise TypeError(f"expected a job as a mapping or a line, got {type(job).__name__}")


def encoded(value: object) -> bytes:
    """Return a value as JSON. A pydantic model stands for its schema, an instance for its fields.

    Raises:
        TypeError: it holds what JSON can't.
    """
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    for name in ("model_json_schema", "model_dump", "tolist", "isoformat"):
        # A model's class has the first two, and its schema is what is meant of it.
        if callable(method := getattr(value, name, None)) and (
            name != "model_json_schema" or isinstance(value, type)
        ):
            return method()
    raise TypeError(f"JSON has no {type(value).__name__}")


def is_frame(jobs: object) -> bool:
    """Return whether that is a DataFrame of polars or pandas, by what it can do."""
    return hasattr(jobs, "columns") and (hasattr(jobs, "iter_rows") or hasattr(jobs, "iloc"))


def rows_of(frame: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a DataFrame. What is missing in one (None, NaN, NaT) is left out of it."""
    of_polars = hasattr(frame, "iter_rows")
    yield from map(_given, frame.iter_rows(named=True) if of_polars else _rows_of_pandas(frame))


def _rows_of_pandas(frame: Any) -> Iterator[dict[str, Any]]:
    for first in range(0, len(frame), ROWS_AT_ONCE):
        yield from frame.iloc[first : first + ROWS_AT_ONCE].to_dict(orient="records")


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    # NaN and NaT are what isn't equal to itself; pandas' NA says neither.
    return {
        str(name): int(value) if name in WHOLE and _is_whole(value) else value
        for name, value in row.items()
        if not _is_missing(value)
    }


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer() and abs(value) <= EXACT


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":
        return True
    # A list or an array is never missing, and may have an equality of its own.
    return bool(isinstance(value, float) or hasattr(value, "isoformat")) and value != value
