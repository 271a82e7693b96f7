"""A submission as one stream with a Content-Length, sent by a process of its own.

`python -m scripts.benchmarks.submission HOST PORT KEY_FILE JOBS QUERY`
"""

import http.client
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from subprocess import Popen
from typing import cast
from urllib.parse import urlencode, urlsplit

import orjson

from scripts.benchmarks import child
from scripts.benchmarks.workload import LINE_BYTES, blocks

TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """`took_s` is from the first byte sent to the answer; `accepted_at` is the answer's Unix time."""

    batch_id: str
    took_s: float
    accepted_at: float


@contextmanager
def submitting(url: str, key_file: Path, jobs: int, **query: str) -> Iterator[Popen[bytes]]:
    """Submit so many jobs meanwhile, with these parameters; `accepted` has the outcome."""
    address = urlsplit(url)
    words = (address.hostname, address.port, key_file, jobs)
    with child.started(__name__, *words, urlencode({"name": "benchmark", **query})) as process:
        yield process


def accepted(process: Popen[bytes]) -> Accepted:
    """Return how a submission went, once it is through.

    Raises:
        ServiceUnavailable: it was not accepted; the answer is on the terminal.
    """
    return Accepted(**child.answer(process))


def _submit(host: str, port: int, key: str, jobs: int, query: str) -> Accepted:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/x-ndjson",
        "content-length": str(jobs * LINE_BYTES),
    }
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", f"/api/batches?{query}", body=blocks(jobs), headers=headers)
    response = connection.getresponse()
    body = response.read()
    took_s, accepted_at = time.perf_counter() - began, time.time()
    if response.status != HTTPStatus.ACCEPTED:
        sys.exit(f"submission answered with {response.status}: {body[:500].decode()}")
    return Accepted(cast("str", orjson.loads(body)["id"]), took_s, accepted_at)


if __name__ == "__main__":
    given_host, given_port, key_path, count, words = sys.argv[1:]
    secret = Path(key_path).read_text(encoding="utf-8").strip()
    child.reply(asdict(_submit(given_host, int(given_port), secret, int(count), words)))
