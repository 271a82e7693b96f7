"""Who may call: a valid key in either header, and nobody else; on both databases."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import update

from api.access import known_keys
from api.access.known_keys import Guesses, KnownKeys
from jobs.clock import utcnow
from jobs.scopes import PROJECT_SCOPES
from jobs.store import Database
from jobs.store.projects import KEY_PREFIX, Caller, create_key, ensure_project, hash_key
from jobs.tables import ApiKey
from tests.support.eventually import eventually_async

CLOSED_ROUTES = [
    ("GET", "/api/batches"),
    ("POST", "/api/batches"),
    ("GET", "/api/batches/bat_1"),
    ("GET", "/api/batches/bat_1/results"),
    ("POST", "/api/batches/bat_1/pause"),
    ("POST", "/api/batches/bat_1/resume"),
    ("POST", "/api/batches/bat_1/cancel"),
    ("PATCH", "/api/batches/bat_1"),
    ("GET", "/api/usage"),
    ("GET", "/api/budget"),
    ("PATCH", "/api/budget"),
]


@pytest.fixture
def key(database: Database) -> str:
    with database.write() as session:
        return create_key(session, ensure_project(session, "default"))


@pytest.fixture
def client(keyless_client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Here every request says which key it has, or none."""
    return keyless_client


async def listed(client: httpx.AsyncClient, **headers: str) -> int:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await client.get("/api/batches", headers=sent)).status_code


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_key_is_taken_as_a_bearer_token(
    client: httpx.AsyncClient, key: str, scheme: str
) -> None:
    assert await listed(client, authorization=f"{scheme} {key}") == 200


async def test_a_key_is_taken_from_its_own_header(client: httpx.AsyncClient, key: str) -> None:
    assert await listed(client, x_api_key=key) == 200
    assert await listed(client, authorization="Basic b3RoZXI6", x_api_key=key) == 200


@pytest.mark.parametrize(("method", "path"), CLOSED_ROUTES)
async def test_without_a_key_every_route_says_how_to_send_one(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    reply = await client.request(method, path)
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["www-authenticate"] == "Bearer"
    problem = reply.json()
    assert (problem["code"], problem["status"]) == ("unauthorised", 401)
    assert "Authorization: Bearer KEY" in problem["detail"]


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "sent", ["", " ", KEY_PREFIX, "tm_" + "A" * 43, "é" * 40, "' OR 1=1 --", "k" * 7000]
)
async def test_a_key_that_is_none_is_refused_and_not_repeated(
    client: httpx.AsyncClient, sent: str
) -> None:
    reply = await client.get("/api/batches", headers={b"x-api-key": sent.encode()})
    assert reply.status_code == 401
    if sent.strip():
        assert "not known, it was revoked, or its time is over" in reply.json()["detail"]
        assert sent not in reply.text


async def test_a_revoked_key_stops_working_within_seconds(
    client: httpx.AsyncClient, database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "REMEMBERED_S", 0.2)
    assert await listed(client, x_api_key=key) == 200
    with database.write() as session:
        session.connection().execute(update(ApiKey).values(revoked_at=utcnow()))

    async def is_refused() -> bool:
        return await listed(client, x_api_key=key) == 401

    await eventually_async(is_refused, 3.0)


async def test_only_the_hash_of_a_key_is_stored(database: Database, key: str) -> None:
    with database.read() as session:
        stored = session.get(ApiKey, 1)
    assert stored is not None
    assert stored.key_hash == hash_key(key)
    assert key.startswith(stored.prefix)
    assert len(key) - len(stored.prefix) > 30
    assert key not in repr(stored)


def test_a_key_that_was_just_looked_up_is_not_looked_up_again() -> None:
    known = KnownKeys()
    assert known.caller(b"hash") is None
    known.remember(b"hash", caller(7))
    assert known.caller(b"hash") == caller(7)
    assert known.caller(b"other") is None


def test_no_more_than_so_many_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "REMEMBERED_KEYS", 3)
    known = KnownKeys()
    for number in range(10):
        known.remember(b"%d" % number, caller(number))
    assert known.caller(b"9") == caller(9)
    assert sum(known.has_seen(b"%d" % number) for number in range(10)) <= 3


def caller(project_id: int) -> Caller:
    return Caller(project_id, PROJECT_SCOPES, None)


async def test_a_key_ends_with_its_time_and_is_not_believed_beyond_it(
    client: httpx.AsyncClient, database: Database
) -> None:
    with database.write() as session:
        project_id = ensure_project(session, "default")
        over = create_key(session, project_id, expires_at=utcnow() - timedelta(seconds=1))
        short = create_key(session, project_id, expires_at=utcnow() + timedelta(seconds=1.5))
    assert await listed(client, x_api_key=over) == 401
    assert await listed(client, x_api_key=short) == 200

    async def is_refused() -> bool:
        return await listed(client, x_api_key=short) == 401

    # Below REMEMBERED_S: what was found valid is believed until the key's own end at most.
    await eventually_async(is_refused, known_keys.REMEMBERED_S - 1.0)


async def test_who_sends_unknown_keys_is_told_to_wait_and_a_key_in_use_works_on(
    client: httpx.AsyncClient, database: Database, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_keys, "REMEMBERED_S", 0.0)
    assert await listed(client, x_api_key=key) == 200
    with database.write() as session:
        fresh = create_key(session, ensure_project(session, "default"))
    statuses = [await listed(client, x_api_key=f"tm_{number}") for number in range(30)]
    assert statuses == [401] * known_keys.GUESSES + [429] * (30 - known_keys.GUESSES)
    reply = await client.get("/api/batches", headers={"x-api-key": fresh})
    assert (reply.status_code, reply.json()["code"]) == (429, "too_many_guesses")
    assert 1 <= int(reply.headers["retry-after"]) <= known_keys.GUESS_EVERY_S
    assert await listed(client) == 401
    assert await listed(client, x_api_key=key) == 200


def test_an_address_gets_another_guess_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr("api.access.known_keys.time.monotonic", lambda: now_s)
    guesses = Guesses()
    for _ in range(known_keys.GUESSES):
        assert guesses.wait_s("a") == 0
        guesses.count("a")
    assert guesses.wait_s("a") == known_keys.GUESS_EVERY_S
    assert guesses.wait_s("b") == 0
    now_s += known_keys.GUESS_EVERY_S
    assert guesses.wait_s("a") == 0
    guesses.count("a")
    assert guesses.wait_s("a") == known_keys.GUESS_EVERY_S


def test_no_more_than_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "REMEMBERED_SOURCES", 3)
    monkeypatch.setattr(known_keys, "GUESSES", 1)
    guesses = Guesses()
    for number in range(10):
        guesses.count(str(number))
    assert sum(guesses.wait_s(str(number)) > 0 for number in range(10)) <= 3


def test_keys_are_long_random_and_recognisable(database: Database) -> None:
    with database.write() as session:
        project_id = ensure_project(session, "default")
        keys = {create_key(session, project_id) for _ in range(20)}
    assert len(keys) == 20
    assert all(key.startswith(KEY_PREFIX) and len(key) == 46 for key in keys)
