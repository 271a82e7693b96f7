"""OpenAI's surface as a client in a process of its own uses it: a file up, and a file down.

`python -m scripts.benchmarks.surface upload HOST PORT KEY_FILE JOBS`
`python -m scripts.benchmarks.surface download HOST PORT KEY_FILE FILE_ID`
"""

import http.client
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson

from scripts.benchmarks import child
from scripts.benchmarks.workload import LINES_PER_BLOCK, MAX_TOKENS, MODEL, job_id

TIMEOUT_S = 300.0
READ_BYTES = 1 << 20

ENDPOINT = "/v1/chat/completions"
LINE_BYTES = 200
"""Short questions: a file of a million lines has 200 MB, and the work is that of the lines."""

_BOUNDARY = "tidemill-benchmark"
_HEAD = (
    f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n'
    "content-type: application/octet-stream\r\n\r\n"
).encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()

_LINE = (
    f'{{{{"custom_id":"{{id}}","method":"POST","url":"{ENDPOINT}","body":{{{{"model":"{MODEL}",'
    f'"max_tokens":{MAX_TOKENS},"messages":[{{{{"role":"user","content":'
    '"[job:{id}] {text}"}}]}}}}\n'
)
_TEXT = "x" * (LINE_BYTES - len(_LINE.format(id=job_id(0), text="")))


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`took_s` is from the first byte sent to the answer."""

    file_id: str
    size_bytes: int
    took_s: float


@dataclass(frozen=True, slots=True)
class Downloaded:
    """`first_byte_s` and `took_s` are from the request on."""

    size_bytes: int
    lines: int
    first_byte_s: float
    took_s: float


def lines(jobs: int) -> Iterator[bytes]:
    """Yield the file's lines, some hundred at a time."""
    for start in range(0, jobs, LINES_PER_BLOCK):
        numbers = range(start, min(start + LINES_PER_BLOCK, jobs))
        yield "".join(_LINE.format(id=job_id(n), text=_TEXT) for n in numbers).encode()


def _form(jobs: int) -> Iterator[bytes]:
    yield _HEAD
    yield from lines(jobs)
    yield _TAIL


def _upload(connection: http.client.HTTPConnection, key: str, jobs: int) -> Uploaded:
    size_bytes = jobs * LINE_BYTES
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": f"multipart/form-data; boundary={_BOUNDARY}",
        "content-length": str(len(_HEAD) + size_bytes + len(_TAIL)),
    }
    began = time.perf_counter()
    connection.request("POST", "/v1/files", body=_form(jobs), headers=headers)
    response = connection.getresponse()
    body = response.read()
    took_s = time.perf_counter() - began
    _require(response, body)
    return Uploaded(orjson.loads(body)["id"], size_bytes, took_s)


def _download(connection: http.client.HTTPConnection, key: str, file_id: str) -> Downloaded:
    began = time.perf_counter()
    headers = {"authorization": f"Bearer {key}", "accept": "application/binary"}
    connection.request("GET", f"/v1/files/{file_id}/content", headers=headers)
    response = connection.getresponse()
    if response.status != HTTPStatus.OK:
        _require(response, response.read())
    first = response.read1(READ_BYTES)
    first_byte_s = time.perf_counter() - began
    size_bytes, found = len(first), first.count(b"\n")
    while block := response.read(READ_BYTES):
        size_bytes += len(block)
        found += block.count(b"\n")
    return Downloaded(size_bytes, found, first_byte_s, time.perf_counter() - began)


def _require(response: http.client.HTTPResponse, body: bytes) -> None:
    if response.status != HTTPStatus.OK:
        sys.exit(f"the surface answered with {response.status}: {body[:500].decode()}")


def _run(action: str, host: str, port: str, key_path: str, what: str) -> Any:
    key = Path(key_path).read_text(encoding="utf-8").strip()
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    connection.connect()
    if action == "upload":
        return asdict(_upload(connection, key, int(what)))
    return asdict(_download(connection, key, what))


if __name__ == "__main__":
    child.reply(_run(*sys.argv[1:]))
