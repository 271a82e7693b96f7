"""Rows as messages to a webhook: some hundred in each, signed as all of ours are, and one with the sum.

A message is named by what is in it, so a receiver that has it already knows that when it comes again.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from jobs.errors import UnwritableSink
from jobs.pipelines.ends import SinkSection
from jobs.pipelines.rows import OutputRow, RunFacts, Written
from jobs.webhooks import signature
from workers.pipelines.secrets import secret
from workers.pipelines.sinks.tables import KEY

ROWS_AT_ONCE = 200
BYTES_AT_ONCE = 512 << 10

TIMEOUT_S = 30.0
TRIES = 3
"""Of a message that is not answered; then the sink is written again, from its first row on."""


def send(sink: SinkSection, run: RunFacts, rows: Iterable[OutputRow]) -> Written:
    """Send all rows.

    Raises:
        UnwritableSink: a message was not taken.
    """
    assert sink.webhook is not None  # its section says so
    address = secret(sink.webhook)
    key = None if sink.secret is None else secret(sink.secret)
    host = urlsplit(address).hostname or "?"
    about = {"run": run.ref, "pipeline": run.pipeline, "date": run.day.isoformat()}
    sent = parts = 0
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        for parts, some in enumerate(_parts(rows), start=1):
            sent += len(some)
            body = {"type": "run.rows", **about, "part": parts, "rows": some}
            _post(client, address, key, body, host)
        body = {"type": "run.delivered", **about, "parts": parts, "rows": sent}
        _post(client, address, key, body, host)
    return Written(sent, f"webhook at {host}")


def _parts(rows: Iterable[OutputRow]) -> Iterator[list[Any]]:
    some: list[Any] = []
    size_bytes = 0
    for row in rows:
        line = msgspec.json.encode({KEY: row.key, **row.fields} | {KEY: row.key})
        if some and (len(some) == ROWS_AT_ONCE or size_bytes + len(line) > BYTES_AT_ONCE):
            yield some
            some, size_bytes = [], 0
        some.append(msgspec.Raw(line))
        size_bytes += len(line)
    if some:
        yield some


def _post(client: httpx.Client, address: str, key: str | None, message: Any, host: str) -> None:
    body = msgspec.json.encode(message).decode()
    name = f"msg_{hashlib.sha256(body.encode()).hexdigest()[:32]}"
    status = 0
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(httpx.TransportError),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(0.5, 8.0),
            reraise=True,
        ):
            with attempt:
                headers = _headers(key, name, body)
                status = client.post(address, content=body.encode(), headers=headers).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnwritableSink(f"{host} doesn't answer: {type(error).__name__}") from error
    if not httpx.codes.is_success(status):
        raise UnwritableSink(f"{host} answers {status}")


def _headers(key: str | None, name: str, body: str) -> dict[str, str]:
    sent_at_s = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": "tidemill",
        "webhook-id": name,
        "webhook-timestamp": str(sent_at_s),
    }
    if key is not None:
        headers["webhook-signature"] = signature(key, name, sent_at_s, body)
    return headers
