"""Batches as they are listened to, by server-sent events and over a WebSocket, behind a true socket."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event
from uvicorn import Config
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from api.access.known_keys import KnownKeys
from api.listening import following, pages, watcher
from api.server.connections import Connections
from api.server.listener import Listener, Server
from api.server.socket_listener import MAX_MESSAGE_BYTES, SocketListener
from jobs.exchange import Usage
from jobs.scopes import Scope
from jobs.store import Database, logins
from jobs.store.projects import create_key, ensure_project, revoke_key
from tests.support.eventually import eventually_async
from tests.support.rows import seed_batch
from tests.support.stories import Story

WITHIN_S = 10.0

USAGE = Usage(input_tokens=3, output_tokens=2)

Event = dict[str, Any]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens once a second, or less often, happens at once."""
    monkeypatch.setattr(watcher, "READ_EVERY_S", 0.05)
    monkeypatch.setattr(following, "QUIET_S", 0.2)
    monkeypatch.setattr(following, "KEY_CHECKED_EVERY_S", 0.1)
    monkeypatch.setattr("api.access.known_keys.REMEMBERED_S", 0.05)


@pytest.fixture
def key(database: Database) -> str:
    with database.write() as session:
        return create_key(session, ensure_project(session, "default"))


@dataclass
class Served:
    """The API behind a true socket, and a key that may read there."""

    port: int
    key: str
    connections: Connections

    @asynccontextmanager
    async def listen(self, ref: str, **headers: str) -> AsyncIterator[AsyncIterator[Event]]:
        """Yield the events of a batch, as they come; comments are events without a name."""
        async with (
            httpx.AsyncClient(headers={"x-api-key": self.key, **headers}) as client,
            client.stream(
                "GET", f"http://127.0.0.1:{self.port}/api/batches/{ref}", timeout=WITHIN_S
            ) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            async with aclosing(events_of(answer)) as events:
                yield events

    async def all_of(self, ref: str, **headers: str) -> list[Event]:
        async with asyncio.timeout(WITHIN_S), self.listen(ref, **headers) as events:
            return [event async for event in events]

    def talk(self, **headers: str) -> connect:
        headers = {"x-api-key": self.key} | headers
        return connect(f"ws://127.0.0.1:{self.port}/api/ws", additional_headers=headers)


async def events_of(answer: httpx.Response) -> AsyncGenerator[Event, None]:
    said: Event = {}
    async for line in answer.aiter_lines():
        if not line:
            if said:
                yield said
            said = {}
            continue
        name, _, value = line.partition(":")
        if name != "retry":
            said[name or "comment"] = json.loads(value) if name == "data" else value.strip()


@pytest.fixture
async def served(app: FastAPI, key: str) -> AsyncIterator[Served]:
    connections = Connections(most=50)
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        config = Config(
            app,
            http=Listener,
            ws=SocketListener,
            ws_max_size=MAX_MESSAGE_BYTES,
            log_config=None,
            timeout_graceful_shutdown=2,
        )
        server = Server(config, connections, app.state.listening.watcher.end)
        running = asyncio.create_task(server.serve([listening]))
        try:
            yield Served(listening.getsockname()[1], key, connections)
        finally:
            server.should_exit = True
            await running
        # Whoever listened has left, also who was cut off.
        assert app.state.listening.watcher.listeners == 0


async def in_thread(story: Story, *seqs: int) -> None:
    def answer() -> None:
        for seq in seqs:
            story.answer(seq, USAGE)

    await asyncio.to_thread(answer)


async def told(talk: ClientConnection) -> Event:
    async with asyncio.timeout(WITHIN_S):
        message: Event = json.loads(await talk.recv())
        return message


async def test_a_listener_sees_the_batch_move_and_end(served: Served, database: Database) -> None:
    story = Story(database, jobs=2)
    counts: set[int] = set()
    async with asyncio.timeout(WITHIN_S), served.listen(f"{story.ref}/events") as events:
        async for said in events:
            if said.get("event") == "end":
                break
            if "event" not in said:
                continue
            succeeded = said["data"]["counts"]["succeeded"]
            if succeeded not in counts and succeeded < 2:
                await in_thread(story, succeeded)
            elif succeeded not in counts:
                await asyncio.to_thread(story.end)
            counts.add(succeeded)
    assert counts == {0, 1, 2}
    assert said == {"id": "2-end", "event": "end", "data": {"state": "completed"}}


async def test_results_come_once_each_and_go_on_where_they_were_cut_off(
    served: Served, database: Database
) -> None:
    story = Story(database, jobs=250)
    await in_thread(story, *range(130))
    seen: list[Event] = []
    async with asyncio.timeout(WITHIN_S), served.listen(f"{story.ref}/events?results=true") as on:
        async for said in on:
            seen += [said] if said.get("event") == "result" else []
            if len(seen) == 120:
                break
    await in_thread(story, *range(130, 250))
    await asyncio.to_thread(story.end)
    later = await served.all_of(
        f"{story.ref}/events?results=true&after=3", **{"last-event-id": seen[-1]["id"]}
    )
    seen += [said for said in later if said.get("event") == "result"]
    assert [said["id"] for said in seen] == [str(n) for n in range(1, 251)]
    assert {said["data"]["seq"] for said in seen} == set(range(250))
    async with httpx.AsyncClient(headers={"x-api-key": served.key}) as client:
        url = f"http://127.0.0.1:{served.port}/api/batches/{story.ref}"
        lines = (await client.get(f"{url}/results")).text.splitlines()
        assert [json.loads(line) for line in lines] == [said["data"] for said in seen]
        headers = {"last-event-id": later[-1]["id"]}
        ended = await client.get(f"{url}/events?results=true", headers=headers)
    assert ended.status_code == 204  # a browser doesn't come again


async def test_whoever_waits_is_told_that_there_is_no_news(
    served: Served, database: Database
) -> None:
    ref = seed_batch(database)
    async with asyncio.timeout(WITHIN_S), served.listen(f"{ref}/events") as events:
        assert (await anext(events))["event"] == "progress"
        assert await anext(events) == {"comment": "no news"}


async def test_a_revoked_key_hears_no_more_and_is_no_guess(
    served: Served, database: Database, app: FastAPI
) -> None:
    ref = seed_batch(database)
    async with served.talk() as talk, served.listen(f"{ref}/events") as events:
        assert (await anext(events))["event"] == "progress"
        with database.write() as session:
            revoke_key(session, served.key[:9])
        async with asyncio.timeout(WITHIN_S):
            said = [event async for event in events if "event" in event]
            with pytest.raises(ConnectionClosed) as ended:
                await talk.recv()
    assert [(one["event"], one["data"]["code"]) for one in said] == [("error", "unauthorised")]
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1008
    assert not app.state.guesses._paid_until


async def test_a_browser_hears_as_long_as_its_login_lasts(
    served: Served, database: Database, app: FastAPI
) -> None:
    ref = seed_batch(database)
    with database.write() as session:
        token = logins.begin(session, served.key)
    assert token is not None
    browser = {"x-api-key": "", "cookie": f"tidemill={token}"}
    async with asyncio.timeout(WITHIN_S), served.listen(f"{ref}/events", **browser) as events:
        assert (await anext(events))["event"] == "progress"
        # It was asked meanwhile whether the login lasts: twice as often as it is told of no news.
        assert [await anext(events) for _ in range(2)] == [{"comment": "no news"}] * 2
        with database.write() as session:
            logins.end(session, token)
        said = [event async for event in events if "event" in event]
    assert [(one["event"], one["data"]["code"]) for one in said] == [("error", "unauthorised")]
    assert not app.state.guesses._paid_until


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("bat_nobody/events", {}, 404),
        ("{ref}/events", {"last-event-id": "1e5"}, 400),
        ("{ref}/events?after=-1", {}, 400),
        ("{ref}/events?results=yes", {}, 400),
        ("{ref}/events?nonsense=1", {}, 400),
        ("{ref}/events", {"x-api-key": "tm_nobody"}, 401),
        ("{foreign}/events", {}, 404),
    ],
)
async def test_what_can_not_be_listened_to_is_answered_as_everywhere(
    served: Served, database: Database, path: str, headers: dict[str, str], status: int
) -> None:
    names = {"ref": seed_batch(database), "foreign": seed_batch(database, project="other")}
    async with httpx.AsyncClient(headers={"x-api-key": served.key} | headers) as client:
        url = f"http://127.0.0.1:{served.port}/api/batches/{path.format(**names)}"
        answer = await client.get(url)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_one_socket_hears_of_several_batches(served: Served, database: Database) -> None:
    first, second = Story(database, jobs=2), Story(database, jobs=1)
    async with served.talk() as talk:
        for wish in ({"batch": first.ref, "results": True}, {"batch": second.ref}):
            await talk.send(json.dumps({"type": "subscribe", **wish}))
        assert {(await told(talk))["batch"] for _ in range(2)} == {first.ref, second.ref}
        await in_thread(first, 0, 1)
        await asyncio.to_thread(first.end)
        seen: list[Event] = []
        while not seen or seen[-1]["type"] != "end":
            seen.append(await told(talk))
        assert [one["cursor"] for one in seen if one["type"] == "result"] == [1, 2]
        assert seen[-1] == {
            "type": "end",
            "batch": first.ref,
            "cursor": 2,
            "data": {"state": "completed"},
        }
        await talk.send(json.dumps({"type": "unsubscribe", "batch": second.ref}))
        await in_thread(second, 0)
        await asyncio.to_thread(second.end)
        # What is asked for again comes after whatever would have come before.
        await talk.send(json.dumps({"type": "subscribe", "batch": second.ref, "results": True}))
        kinds = [(await told(talk))["type"] for _ in range(3)]
        assert kinds == ["progress", "result", "end"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_parameter"),
        ('{"type":"subscribe"}', "invalid_parameter"),
        ('{"type":"shout","batch":"x"}', "invalid_parameter"),
        ('{"type":"subscribe","batch":"x","more":1}', "invalid_parameter"),
        ('{"type":"subscribe","batch":"bat_nobody"}', "not_found"),
        ('{"type":"subscribe","batch":"a\\u0000b"}', "not_found"),
    ],
)
async def test_a_wish_that_can_not_be_met_is_refused_and_the_talk_goes_on(
    served: Served, database: Database, message: str, code: str
) -> None:
    ref = seed_batch(database)
    async with served.talk() as talk:
        await talk.send(message)
        refused = await told(talk)
        assert (refused["type"], refused["code"]) == ("error", code)
        await talk.send(json.dumps({"type": "subscribe", "batch": ref}))
        assert (await told(talk))["type"] == "progress"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-api-key": ""}, 401, "unauthorised"),
        ({"x-api-key": "tm_nobody"}, 401, "unauthorised"),
        ({"origin": "https://elsewhere.test"}, 403, "cross_site"),
        ({"sec-fetch-site": "same-site"}, 403, "cross_site"),
        ({f"x-{n}": "x" * 7_000 for n in range(5)}, 431, "headers_too_large"),
    ],
)
async def test_a_socket_opens_for_a_key_and_for_no_other_site(
    served: Served,
    headers: dict[str, str],
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor is a refusal a fault of ours: strangers could fill the log with those."""
    with pytest.raises(InvalidStatus) as refused:
        async with served.talk(**headers):
            pass
    with pytest.raises(InvalidStatus):  # by the time of this one, the other's is over
        async with served.talk(**headers):
            pass
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    answer = refused.value.response
    assert answer.status_code == status
    assert json.loads(answer.body or b"")["code"] == code
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_handshake_that_is_too_long_ends_its_connection(served: Served) -> None:
    with pytest.raises((EOFError, ConnectionError, InvalidHandshake)):
        async with served.talk(**{"x-long": "x" * 9_000}):
            pass


async def test_a_socket_needs_the_scope_to_read(served: Served, database: Database) -> None:
    with database.write() as session:
        project_id = ensure_project(session, "default")
        key = create_key(session, project_id, scopes=[Scope.SUBMIT])
    with pytest.raises(InvalidStatus) as refused:
        async with served.talk(**{"x-api-key": key}):
            pass
    assert refused.value.response.status_code == 403


async def test_a_socket_is_one_of_the_connections_until_it_ends(served: Served) -> None:
    async with served.talk() as talk:
        await talk.send("?")
        await told(talk)
        assert len(served.connections.admitted) == 1

    async def is_gone() -> bool:
        return len(served.connections) == 0

    await eventually_async(is_gone, WITHIN_S, "the connection is gone")


async def test_many_listeners_cost_the_database_as_much_as_one(
    served: Served, database: Database, app: FastAPI
) -> None:
    story = Story(database, jobs=300)
    await in_thread(story, *range(300))
    await asyncio.to_thread(story.end)
    statements: list[str] = []
    engine = app.state.services.database.engine

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    app.state.known_keys = known = KnownKeys()
    await served.all_of(f"{story.ref}/events?results=true")
    alone = len(statements)
    statements.clear()
    heard = await asyncio.gather(
        *(served.all_of(f"{story.ref}/events?results=true") for _ in range(20))
    )
    assert all(len([said for said in one if said.get("event") == "result"]) == 300 for one in heard)
    # Pages are kept; that it is the project's batch, and whose the key is, each may have asked.
    assert len([text for text in statements if " result" in text]) <= pages.READERS
    assert len(statements) <= 20 * alone / 2
    assert known is app.state.known_keys


async def test_a_slow_listener_holds_up_nobody_and_hears_how_it_stands_then(
    app: FastAPI, database: Database
) -> None:
    """It takes one piece, and comes for the next when the batch has long ended."""
    story = Story(database, jobs=5)
    listening = app.state.listening

    async def always() -> bool:
        return True

    watched = await listening.watcher.join(1, story.ref)
    slow = listening.follow(watched, following.Wish(results=False, after=0), always)
    first = await anext(slow)
    for seq in range(5):
        await in_thread(story, seq)
    await asyncio.to_thread(story.end)

    async def is_final() -> bool:
        return bool(watched.is_final)

    await eventually_async(is_final, WITHIN_S, "the end was seen")
    async with asyncio.timeout(WITHIN_S):
        rest = [piece async for piece in slow]
    listening.watcher.leave(watched)
    await listening.watcher.close()
    app.state.services.database.close()
    assert isinstance(first, following.Progress)
    assert [type(piece) for piece in rest] == [following.Progress, following.Ended]
