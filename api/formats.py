"""The formats of submissions and results: what a Content-Type, or the name of a file, says."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import PurePosixPath


class Format(StrEnum):
    """How jobs, or results, are written down."""

    NDJSON = "ndjson"
    JSON = "json"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


SHEETS = frozenset({Format.CSV, Format.TSV, Format.PARQUET})
"""Those that have rows of columns."""

NDJSON_TYPE = "application/x-ndjson"

MEDIA_TYPES: Mapping[Format, str] = {
    Format.NDJSON: NDJSON_TYPE,
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.TSV: "text/tab-separated-values",
    Format.PARQUET: "application/vnd.apache.parquet",
}
"""What each is called by whoever writes it."""

FORMATS: Mapping[str, Format] = {
    **{media_type: format_ for format_, media_type in MEDIA_TYPES.items()},
    **dict.fromkeys(
        (
            "",
            "application/ndjson",
            "application/jsonl",
            "application/x-jsonlines",
            "application/jsonlines",
            "application/octet-stream",
            "text/plain",
            "application/x-www-form-urlencoded",  # what curl --data-binary says of anything
        ),
        Format.NDJSON,
    ),
    "application/csv": Format.CSV,
    "application/x-csv": Format.CSV,
    "text/tsv": Format.TSV,
    "application/parquet": Format.PARQUET,
    "application/x-parquet": Format.PARQUET,
}
"""By the type that a sender says."""

_SUFFIXES: Mapping[str, Format] = {
    ".jsonl": Format.NDJSON,
    ".ndjson": Format.NDJSON,
    ".json": Format.JSON,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
}
_ENCODINGS = {".gz": "gzip", ".zst": "zstd"}


def format_of_name(name: str) -> tuple[Format | None, str]:
    """Return the format of a file's name, None if it tells none, and how it is packed, empty if not.

    `jobs.csv.gz` is a packed sheet.
    """
    path = PurePosixPath(name.lower())
    encoding = _ENCODINGS.get(path.suffix, "")
    suffix = PurePosixPath(path.stem).suffix if encoding else path.suffix
    return _SUFFIXES.get(suffix), encoding
