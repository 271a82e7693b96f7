"""Asking again and again: what has not changed is not sent again, and what is sent goes packed."""

import gzip
import sys
import tracemalloc
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message

from api.etags import Etags
from api.packing import LEAST_BYTES, Packing
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.money.settlement import flush
from tests.support.rows import journal_of, lease_of, seed_batch

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Running:
    """A batch of which one job after the other is answered."""

    def __init__(self, database: Database, jobs: int = 3) -> None:
        self.database = database
        self.ref = seed_batch(database, jobs=jobs, slice_size=jobs)
        self.lease = lease_of(database, self.ref)

    def answer(self, seq: int, output: str = '"fine"') -> None:
        journal = journal_of(self.lease, seq)
        result = ResultDraft(ResultStatus.SUCCEEDED, output=output)
        with self.database.write() as session:
            flush(session, [journal], [])
            flush(session, [], [Settlement(journal, Outcome.SUCCEEDED, result=result)])


@pytest.fixture
def running(database: Database) -> Running:
    return Running(database)


async def known(client: httpx.AsyncClient, path: str, etag: str) -> httpx.Response:
    return await client.get(path, headers={"if-none-match": etag})


@pytest.mark.parametrize("path", ["/api/batches/{ref}", "/api/batches", "/api/usage"])
async def test_a_document_is_sent_again_once_it_has_changed(
    client: httpx.AsyncClient, running: Running, path: str
) -> None:
    path = path.format(ref=running.ref)
    etag = (await client.get(path)).headers["etag"]
    same = await known(client, path, f'"other", {etag}')
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert same.headers["cache-control"] == "no-store"
    running.answer(0)
    changed = await known(client, path, etag)
    assert changed.status_code == 200
    assert changed.json()
    assert changed.headers["etag"] != etag
    assert (await known(client, path, "*")).status_code == 304


@pytest.mark.parametrize("query", ["", "?after=1&limit=1", "?order=input&after=0"])
async def test_a_page_of_results_is_sent_again_once_it_has_changed(
    client: httpx.AsyncClient, running: Running, query: str
) -> None:
    path = f"/api/batches/{running.ref}/results{query}"
    running.answer(0)
    first = await client.get(path)
    etag = first.headers["etag"]
    same = await known(client, path, etag)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers.get("x-next-cursor") == first.headers.get("x-next-cursor")
    running.answer(1)
    changed = await known(client, path, etag)
    assert changed.status_code == 200
    assert b'"job-1"' in changed.content
    other = await client.get(f"/api/batches/{running.ref}/results?limit=3")
    assert other.headers["etag"] != changed.headers["etag"]


async def test_what_is_refused_or_changed_has_no_etag(
    client: httpx.AsyncClient, running: Running
) -> None:
    assert "etag" not in (await client.get("/api/batches/none")).headers
    paused = await client.post(f"/api/batches/{running.ref}/pause", headers={"if-none-match": "*"})
    assert paused.status_code == 200
    assert "etag" not in paused.headers


UNPACKED = {"gzip": gzip.decompress, "zstd": zstd.decompress}


@pytest.mark.parametrize(
    ("wish", "encoding"),
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.1, gzip;q=0.5", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("*", "zstd"),
        ("identity, gzip;q=0.5", None),
        ("identity", None),
        ("br", None),
        ("gzip;q=zero", None),
        ("", None),
    ],
)
async def test_results_are_packed_as_the_caller_wishes(
    client: httpx.AsyncClient, running: Running, wish: str, encoding: str | None
) -> None:
    for seq in range(3):
        running.answer(seq, '"' + 100 * "The mill grinds. " + '"')
    path = f"/api/batches/{running.ref}/results"
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    async with client.stream("GET", path, headers={"accept-encoding": wish}) as packed:
        content = b"".join([piece async for piece in packed.aiter_raw()])
    assert packed.headers.get("content-encoding") == encoding
    assert "Accept-Encoding" in packed.headers["vary"]
    assert packed.headers["etag"] == plain.headers["etag"]
    if encoding is not None:
        assert len(content) < len(plain.content) / 4
        content = UNPACKED[encoding](content)
    assert content == plain.content


async def test_what_is_small_is_not_packed(client: httpx.AsyncClient) -> None:
    reply = await client.get("/api/batches", headers={"accept-encoding": "gzip"})
    assert len(reply.content) < LEAST_BYTES
    assert "content-encoding" not in reply.headers
    assert reply.headers["content-length"] == str(len(reply.content))


async def answer_of(
    kind: str, pieces: AsyncIterator[bytes], wish: str = "gzip"
) -> AsyncIterator[Message]:
    """Yield what the middleware sends of an answer in pieces."""
    sent: list[Message] = []

    async def app(_scope: object, _receive: object, send: object) -> None:
        assert callable(send)
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    scope = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", wish.encode())]}
    await Packing(Etags(app))(scope, receive, send)
    for message in sent:
        yield message


async def test_an_event_leaves_at_once_and_unpacked() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        yield b"data: 2\n\n"

    sent = [message async for message in answer_of("text/event-stream", events())]
    assert [message.get("body") for message in sent[1:]] == [b"data: 1\n\n", b"data: 2\n\n", b""]
    assert sent[0]["headers"] == [(b"content-type", b"text/event-stream")]


@pytest.mark.parametrize("wish", ["gzip", "zstd"])
async def test_a_large_answer_is_never_held_whole(wish: str) -> None:
    piece = bytes(range(256)) * 1024

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(200):
            yield number.to_bytes(4, "big") + piece

    tracemalloc.start()
    size_bytes = 0
    async for message in answer_of("application/x-ndjson", pieces(), wish):
        size_bytes += len(message.get("body", b""))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < size_bytes < 200 * len(piece) / 20
    assert peak_bytes < 8 << 20
