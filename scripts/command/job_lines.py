"""The jobs of a file, one by one, whatever its format and packing: to pick some of them, or to join files."""

import gzip
import io
import sys
from collections.abc import Iterable, Iterator, Mapping

from api.formats import FORMATS, Format
from api.intake.json_body import jobs_of
from jobs.errors import LineFault
from scripts.command.sheet_rows import sheet_rows
from tidemill.upload import NDJSON, Upload

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Row = tuple[int, bytes | LineFault]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file that is read once."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = b""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the blocks; 0 is the end."""
        self._rest = self._rest or next(self._blocks, b"")
        piece, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def job_lines(upload: Upload, query: Mapping[str, str] | None = None) -> Iterator[bytes]:
    """Yield the jobs of an upload that the server can read, each as the bytes of a line.

    The query is that of its submission: it says how the rows of a sheet become jobs.
    """
    for _, line in job_rows(upload, query or {}):
        assert isinstance(line, bytes)  # the server has read it
        yield line


def job_rows(upload: Upload, query: Mapping[str, str], *, id_prefix: str = "") -> Iterator[Row]:
    """Yield the jobs of an upload with the numbers of their lines, or what is wrong with a row.

    `id_prefix` is what ids begin with that are numbers of rows.

    Raises:
        SubmissionError: it can't be read as what it is said to be.
    """
    file = _unpacked(io.BufferedReader(_Blocks(upload.blocks())), upload)
    match FORMATS[upload.headers["content-type"]]:
        case Format.JSON:
            jobs = jobs_of(file.read().removeprefix(_BYTE_ORDER_MARK))
            for number, job in enumerate(jobs, start=1):
                # Between the words of JSON only: in its strings there can't be such characters.
                yield number, job.translate(_ON_ONE_LINE).strip()
        case Format.NDJSON:
            for number, line in enumerate(file, start=1):
                job = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
                if job.strip():
                    yield number, job.rstrip(b"\r\n")
        case sheet:
            for number, row in sheet_rows(file, sheet, query, id_prefix):
                if row:
                    yield number, row


def _unpacked(file: io.BufferedReader, upload: Upload) -> io.BufferedIOBase:
    match upload.headers.get("content-encoding"):
        case "gzip":
            return gzip.open(file)
        case "zstd":
            return zstd.open(file)
        case _:
            return file


def spread(jobs: Iterable[bytes], total: int, wanted: int) -> list[bytes]:
    """Return `wanted` of `total` jobs, evenly spread: each from the middle of its part of the file."""
    places = {(2 * part + 1) * total // (2 * wanted) for part in range(wanted)}
    return [job for place, job in enumerate(jobs) if place in places]


def as_upload(jobs: Iterable[bytes]) -> Upload:
    """Return the jobs as something that is sent."""
    body = b"".join(job + b"\n" for job in jobs)
    headers = {"content-type": NDJSON, "content-length": str(len(body))}
    return Upload(lambda: iter([body]), headers, len(body))
