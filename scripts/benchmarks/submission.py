"""A submission as one stream with a Content-Length, sent by a process of its own.

`python -m scripts.benchmarks.submission HOST PORT KEY_FILE JOBS [MAX_COST_USD]`
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
from urllib.parse import urlsplit

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
def submitting(
    url: str, key_file: Path, jobs: int, max_cost_usd: str | None = None
) -> Iterator[Popen[bytes]]:
    """Submit so many jobs meanwhile; `accepted` has the outcome."""
    address = urlsplit(url)
    words = [address.hostname, address.port, key_file, jobs]
    if max_cost_usd is not None:
        words.append(max_cost_usd)
    with child.started(__name__, *words) as process:
        yield process


def accepted(process: Popen[bytes]) -> Accepted:
    """Return how a submission went, once it is through.

    Raises:
        ServiceUnavailable: it was not accepted; the answer is on the terminal.
    """
    return Accepted(**child.answer(process))


def _submit(host: str, port: int, key: str, jobs: int, max_cost_usd: str | None) -> Accepted:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/x-ndjson",
        "content-length": str(jobs * LINE_BYTES),
    }
    path = "/api/batches?name=benchmark"
    if max_cost_usd is not None:
        path += f"&max_cost_usd={max_cost_usd}"
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", path, body=blocks(jobs), headers=headers)
    response = connection.getresponse()
    body = response.read()
    took_s, accepted_at = time.perf_counter() - began, time.time()
    if response.status != HTTPStatus.ACCEPTED:
        sys.exit(f"submission answered with {response.status}: {body[:500].decode()}")
    return Accepted(cast("str", orjson.loads(body)["id"]), took_s, accepted_at)


if __name__ == "__main__":
    given_host, given_port, key_path, count, *cap = sys.argv[1:]
    secret = Path(key_path).read_text(encoding="utf-8").strip()
    child.reply(
        asdict(_submit(given_host, int(given_port), secret, int(count), cap[0] if cap else None))
    )
