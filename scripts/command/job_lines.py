"""The jobs of a file, one by one, whatever it is packed as: to pick some of them."""

import gzip
import io
import sys
from collections.abc import Iterable, Iterator

from api.json_body import jobs_of
from tidemill.upload import NDJSON, Upload

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

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


def job_lines(upload: Upload) -> Iterator[bytes]:
    """Yield the jobs of an upload that the server can read, each as the bytes of a line."""
    file = _unpacked(io.BufferedReader(_Blocks(upload.blocks())), upload)
    if upload.headers["content-type"] != NDJSON:
        for job in jobs_of(file.read().removeprefix(_BYTE_ORDER_MARK)):
            # Between the words of JSON only: in its strings there can't be such characters.
            yield job.translate(_ON_ONE_LINE).strip()
        return
    for number, line in enumerate(file):
        job = line.removeprefix(_BYTE_ORDER_MARK) if number == 0 else line
        if job.strip():
            yield job.rstrip(b"\r\n")


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
