"""Anthropic's surface over HTTP on both databases: its shapes, its states, its errors."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from sqlmodel import func, select

from jobs.configuration import Configuration
from jobs.exchange import Usage
from jobs.scopes import Scope
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement, Unattempted
from jobs.store.batches import batches, idempotency
from jobs.store.leases import leases, slices
from jobs.store.leases.leases import Lease
from jobs.store.money.settlement import flush
from jobs.store.projects import create_key, ensure_project
from jobs.store.results.results import cancel_jobs
from jobs.store.surfaces import message_batches
from jobs.tables import Batch, Job, MessageBatch
from tests.support.anthropic_surface import PATH, body_of, make, request
from tests.support.rows import batch_of, journal_of, lease_of

USED = Usage(input_tokens=5, cached_input_tokens=2, output_tokens=3, reasoning_tokens=1)
MESSAGE = '{"id":"msg_1","type":"message","content":[]}'


@pytest.fixture
def configuration() -> Configuration:
    return Configuration.model_validate(
        {
            "providers": {
                "claude": {
                    "protocol": "anthropic",
                    "base_url": "http://127.0.0.1:9",
                    "models": ["c", "d-*"],
                },
                "other": {"protocol": "openai", "base_url": "http://127.0.0.1:9", "models": ["o"]},
            },
            "routes": {"either": {"targets": ["claude/c", "other/o"]}},
        }
    )


async def made(
    client: httpx.AsyncClient, *requests: Any, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    reply = await make(client, *requests or (request(),), headers=headers)
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


async def show(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await client.get(f"{PATH}/{batch_id}")).raise_for_status().json()
    return shown


def native(database: Database, batch_id: str) -> str:
    """The name that the batch has under `/api`."""
    with database.read() as session:
        return message_batches.find(session, 1, batch_id)[1].ref


def finish(database: Database, ref: str, results: list[ResultDraft]) -> Lease:
    """Give the first jobs of a batch of one slice these results."""
    lease = lease_of(database, ref)
    for seq, result in enumerate(results):
        if result.status is ResultStatus.FAILED:
            with database.write() as session:
                flush(session, [], [], [Unattempted(lease, seq, result)])
            continue
        journal = msgspec.structs.replace(journal_of(lease, seq), price=None)
        with database.write() as session:
            flush(session, [journal], [])
        with database.write() as session:
            flush(session, [], [Settlement(journal, Outcome.SUCCEEDED, USED, result=result)])
    return lease


def close(database: Database, ref: str) -> None:
    """End a slice all of whose jobs have their result, as its worker does."""
    with database.read() as session:
        batch = batches.find(session, 1, ref)
    with database.write() as session:
        locked = batches.lock(session, batch.id or 0)
        locked.done_slices = locked.total_slices
        assert batches.finish_if_complete(session, locked)


def cancel_rest(database: Database, lease: Lease) -> None:
    """Let the worker give the slice back, and the sweep answer what is open."""
    with database.write() as session:
        leases.give_back(session, lease)
    with database.write() as session:
        batch = batches.lock(session, lease.batch_id)
        for piece in slices.idle_slices(session, lease.batch_id, limit=10):
            cancel_jobs(session, batch, piece)
            slices.close(session, batch, piece)
        assert batches.finish_if_complete(session, batch)


def rows_of(database: Database) -> tuple[int, int, int]:
    """How many batches, jobs and batches of this surface there are, seen or not."""
    with database.read() as session:
        counts = [session.exec(select(func.count()).select_from(table)).one() for table in ROWS]
    return (counts[0], counts[1], counts[2])


ROWS: tuple[Any, ...] = (Batch, Job, MessageBatch)

ANSWERED = ResultDraft(ResultStatus.SUCCEEDED, output=MESSAGE)


def failed(code: str) -> ResultDraft:
    return ResultDraft(ResultStatus.FAILED, error_code=code, error_message="no")


async def test_a_new_batch_is_shown_with_all_that_clients_read(client: httpx.AsyncClient) -> None:
    batch = await made(client, *(request(name) for name in "abcd"))
    created = datetime.fromisoformat(batch["created_at"])
    assert abs(created - datetime.now(UTC)) < timedelta(minutes=1)
    assert datetime.fromisoformat(batch["expires_at"]) > created + timedelta(days=1)
    nothing = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
    assert batch == {
        "id": batch["id"],
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {"processing": 4, **nothing},
        "created_at": batch["created_at"],
        "expires_at": batch["expires_at"],
        "ended_at": None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }
    assert batch["id"].startswith("msgbatch_")
    assert await show(client, batch["id"]) == batch


async def test_results_are_read_once_the_batch_has_ended(
    client: httpx.AsyncClient, database: Database
) -> None:
    batch = await made(client, *(request(name) for name in "abcd"))
    ref = native(database, batch["id"])
    finish(database, ref, [ANSWERED, failed("request_rejected"), failed("server_failed"), ANSWERED])
    # Until it has ended all are told to be processing, as at Anthropic; `/api` tells more.
    assert (await show(client, batch["id"]))["request_counts"]["processing"] == 4
    shown = (await client.get(f"/api/batches/{ref}")).json()
    assert (shown["name"], shown["counts"]["succeeded"]) == (batch["id"], 2)
    reply = await client.get(f"{PATH}/{batch['id']}/results")
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "has not ended" in reply.json()["error"]["message"]
    reply = await client.delete(f"{PATH}/{batch['id']}")
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")

    close(database, ref)
    batch = await show(client, batch["id"])
    assert batch["processing_status"] == "ended"
    counts = {"processing": 0, "succeeded": 2, "errored": 2, "canceled": 0, "expired": 0}
    assert batch["request_counts"] == counts
    assert batch["ended_at"] >= batch["created_at"]
    assert batch["results_url"] == f"/v1/messages/batches/{batch['id']}/results"
    reply = await client.get(f"/anthropic{batch['results_url']}")
    assert reply.headers["content-type"].startswith("application/x-jsonl")
    known = {"if-none-match": reply.headers["etag"]}
    same = await client.get(f"/anthropic{batch['results_url']}", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    lines = [json.loads(line) for line in reply.content.split(b"\n")[:-1]]
    assert lines[0] == {
        "custom_id": "a",
        "result": {"type": "succeeded", "message": json.loads(MESSAGE)},
    }
    errors = {line["custom_id"]: line["result"]["error"]["error"] for line in lines[1:3]}
    assert errors["b"] == {
        "type": "invalid_request_error",
        "message": "no",
        "details": {"error_code": "request_rejected"},
    }
    assert errors["c"]["type"] == "api_error"
    assert (await client.post(f"{PATH}/{batch['id']}/cancel")).status_code == 400


async def test_a_cancelled_batch_keeps_what_was_answered(
    client: httpx.AsyncClient, database: Database
) -> None:
    batch = await made(client, request("a"), request("b"))
    lease = finish(database, native(database, batch["id"]), [ANSWERED])
    for _ in range(2):
        shown = (await client.post(f"{PATH}/{batch['id']}/cancel")).raise_for_status().json()
        assert shown["processing_status"] == "canceling"
        assert shown["cancel_initiated_at"] is not None
    cancel_rest(database, lease)
    shown = await show(client, batch["id"])
    assert shown["processing_status"] == "ended"
    assert (shown["request_counts"]["succeeded"], shown["request_counts"]["canceled"]) == (1, 1)
    reply = await client.get(f"{PATH}/{batch['id']}/results")
    kinds = [json.loads(line)["result"]["type"] for line in reply.text.splitlines()]
    assert sorted(kinds) == ["canceled", "succeeded"]
    again = await client.post(f"{PATH}/{batch['id']}/cancel")
    assert again.json()["processing_status"] == "ended"


async def test_a_deleted_batch_is_not_found_here_and_stays_in_the_accounts(
    client: httpx.AsyncClient, database: Database
) -> None:
    batch = await made(client)
    ref = native(database, batch["id"])
    finish(database, ref, [ANSWERED])
    close(database, ref)
    gone = (await client.delete(f"{PATH}/{batch['id']}")).raise_for_status()
    assert gone.json() == {"id": batch["id"], "type": "message_batch_deleted"}
    for missing in (
        client.get(f"{PATH}/{batch['id']}"),
        client.get(f"{PATH}/{batch['id']}/results"),
        client.post(f"{PATH}/{batch['id']}/cancel"),
        client.delete(f"{PATH}/{batch['id']}"),
    ):
        assert (await missing).status_code == 404
    assert (await client.get(PATH)).json()["data"] == []
    assert (await client.get(f"/api/batches/{ref}")).json()["counts"]["succeeded"] == 1


async def test_a_list_goes_both_ways(client: httpx.AsyncClient) -> None:
    ids = [(await made(client, request(f"r{number}")))["id"] for number in range(5)][::-1]

    async def page(**query: Any) -> tuple[list[str], bool]:
        reply = (await client.get(PATH, params=query)).raise_for_status().json()
        shown = [batch["id"] for batch in reply["data"]]
        assert reply["first_id"] == (shown[0] if shown else None)
        assert reply["last_id"] == (shown[-1] if shown else None)
        return shown, reply["has_more"]

    assert await page() == (ids, False)
    assert await page(limit=2) == (ids[:2], True)
    assert await page(limit=2, after_id=ids[1]) == (ids[2:4], True)
    assert await page(limit=2, after_id=ids[3]) == (ids[4:], False)
    assert await page(limit=2, before_id=ids[4]) == (ids[2:4], True)
    assert await page(limit=2, before_id=ids[2]) == (ids[:2], False)
    assert await page(before_id=ids[0], beta="true") == ([], False)
    for query in ({"after_id": "none"}, {"before_id": "a\0"}, {"limit": 0}, {"limit": 1001}):
        reply = await client.get(PATH, params=query)
        assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_project_sees_its_own_and_a_key_does_what_it_may(
    client: httpx.AsyncClient, database: Database
) -> None:
    batch = await made(client)
    with database.write() as session:
        other = create_key(session, ensure_project(session, "another"))
        reader = create_key(session, ensure_project(session, "default"), scopes=(Scope.READ,))
    reply = await client.get(f"{PATH}/{batch['id']}", headers={"x-api-key": other})
    assert (reply.status_code, reply.json()["error"]["type"]) == (404, "not_found_error")
    assert (await client.get(PATH, headers={"x-api-key": other})).json()["data"] == []
    bearer = {"authorization": f"Bearer {reader}", "x-api-key": ""}
    versions = {"anthropic-version": "2023-06-01", "anthropic-beta": "message-batches-2024-09-24"}
    assert (await client.get(PATH, headers={**bearer, **versions})).status_code == 200
    reply = await client.post(f"{PATH}/{batch['id']}/cancel", headers={"x-api-key": reader})
    assert (reply.status_code, reply.json()["error"]["type"]) == (403, "permission_error")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"max_tokens": None}, "params.max_tokens", "wrong_type"),
        ({"messages": [{"role": "usr", "content": ""}]}, "params.messages.0.role", "invalid_value"),
        ({"model": "unheard-of"}, "params.model", "unknown_model"),
        ({"stream": True}, "params.stream", "unsupported_parameter"),
    ],
)
async def test_what_is_wrong_is_told_by_request_and_nothing_is_accepted(
    client: httpx.AsyncClient, database: Database, change: dict[str, Any], field: str, code: str
) -> None:
    good = [request(f"r{number}") for number in range(3)]
    reply = await make(client, *good, request("bad", **change))
    assert reply.status_code == 400, reply.text
    body = reply.json()
    assert body["request_id"] == reply.headers["request-id"]
    error = body["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"requests.3.{field}: ")
    assert error["message"].endswith("; nothing was accepted")
    (fault,) = error["details"]["errors"]
    assert (fault["field"], fault["code"]) == (f"requests.3.{field}", code)
    assert rows_of(database) == (0, 0, 0)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
async def test_many_bad_requests_are_counted_and_the_first_of_them_told(
    client: httpx.AsyncClient, database: Database, encoding: str
) -> None:
    bad = [request(f"r{number}", max_tokens=0) for number in range(150)]
    reply = await make(client, *bad, headers={"accept-encoding": encoding})
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert error["details"]["error_count"] == 150
    assert [fault["field"] for fault in error["details"]["errors"]] == [
        f"requests.{number}.params.max_tokens" for number in range(100)
    ]
    assert "; and 145 more; nothing was accepted" in error["message"]
    assert rows_of(database) == (0, 0, 0)


@pytest.mark.parametrize("custom_id", ["", "a b", "é", "a" * 65, "a.b", "a\n"])
async def test_ids_are_of_anthropics_pattern_and_unique(
    client: httpx.AsyncClient, custom_id: str
) -> None:
    reply = await make(client, request(custom_id))
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith("requests.0.custom_id: expected 1 to")
    reply = await make(client, request("same"), request("same"))
    assert reply.json()["error"]["message"].startswith(
        "requests.1.custom_id: 'same' stands earlier"
    )


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind"),
    [
        (b"", {}, 400, "invalid_request_error"),
        (b'{"requests":[]}', {}, 400, "invalid_request_error"),
        (b'{"requests":[{}', {}, 400, "invalid_request_error"),
        (b"[]", {}, 400, "invalid_request_error"),
        (b'{"requests":[],"x":1}', {}, 400, "invalid_request_error"),
        (b"x", {"content-type": "text/plain"}, 415, "invalid_request_error"),
        (b"x", {"content-length": str(1 << 40)}, 413, "request_too_large"),
        (b"x", {"x-api-key": "tm_wrong"}, 401, "authentication_error"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_in_anthropics_shape(
    client: httpx.AsyncClient,
    database: Database,
    body: bytes,
    headers: dict[str, str],
    status: int,
    kind: str,
) -> None:
    headers = {"content-type": "application/json", **headers}
    reply = await client.post(PATH, content=body, headers=headers)
    assert reply.status_code == status, reply.text
    whole = reply.json()
    assert (whole["type"], whole["error"]["type"]) == ("error", kind)
    assert whole["error"]["message"]
    assert whole["error"]["details"]["error_code"]
    assert whole["request_id"] == reply.headers["request-id"]
    assert rows_of(database) == (0, 0, 0)


async def test_what_only_anthropic_can_be_told_is_refused_for_a_route_with_others(
    client: httpx.AsyncClient,
) -> None:
    thinks: dict[str, Any] = {"thinking": {"type": "adaptive"}}
    await made(client, request(**thinks))
    reply = await make(client, request(**thinks, model="either"))
    message = reply.json()["error"]["message"]
    assert message.startswith("requests.0.params.thinking: can't be said to other")
    assert "does not speak Anthropic's /messages" in message


async def test_a_create_under_a_key_makes_one_batch(
    client: httpx.AsyncClient, database: Database
) -> None:
    key = {"idempotency-key": "night-1"}
    first = await made(client, headers=key)
    again = await make(client, request(), headers=key)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first["id"], "true")
    reply = await make(client, request("b"), headers=key)
    assert (reply.status_code, reply.json()["error"]["type"]) == (422, "invalid_request_error")
    assert rows_of(database) == (1, 1, 1)


async def test_a_create_that_the_client_repeats_makes_one_batch_and_a_new_one_another(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await made(client)
    repeated = {"x-stainless-retry-count": "1"}
    again = await make(client, request(), headers=repeated)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first["id"], "true")
    assert rows_of(database) == (1, 1, 1)
    other = await made(client, request("b"), headers=repeated)
    assert other["id"] != first["id"]
    second = await made(client)
    assert second["id"] not in {first["id"], other["id"]}
    assert (await made(client, headers=repeated))["id"] == second["id"]
    monkeypatch.setattr(idempotency, "RETRIED", timedelta(0))
    assert (await made(client, headers=repeated))["id"] not in {first["id"], second["id"]}


async def test_of_repeated_creates_at_once_one_makes_the_batch(
    client: httpx.AsyncClient, database: Database
) -> None:
    repeated = {"x-stainless-retry-count": "1"}
    found = await asyncio.gather(*(made(client, headers=repeated) for _ in range(5)))
    assert len({batch["id"] for batch in found}) == 1
    assert rows_of(database) == (1, 1, 1)


async def test_of_a_create_that_fails_at_its_commit_nothing_is_left(
    app: FastAPI,
    client: httpx.AsyncClient,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(message_batches, "insert", broken)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://tidemill", headers=client.headers
    ) as careless:
        reply = await make(careless, request())
    assert (reply.status_code, reply.json()["error"]["type"]) == (500, "api_error")
    assert "secret" not in reply.text
    assert rows_of(database) == (0, 0, 0)
    monkeypatch.undo()
    await made(client, headers={"x-stainless-retry-count": "1"})
    assert rows_of(database) == (1, 1, 1)


async def test_of_a_body_that_breaks_off_nothing_is_left(
    client: httpx.AsyncClient, database: Database
) -> None:
    async def pieces() -> Any:
        yield body_of(*(request(f"r{number}") for number in range(3)))[:-9]
        raise OSError("the cable was pulled")

    with pytest.raises(OSError, match="cable"):
        await client.post(PATH, content=pieces(), headers={"content-type": "application/json"})
    assert rows_of(database) == (0, 0, 0)


async def test_a_budget_is_of_the_batch_and_too_small_a_one_is_refused(
    client: httpx.AsyncClient, database: Database
) -> None:
    reply = await make(client, request(), query={"max_cost_usd": "lots"})
    assert (reply.status_code, reply.json()["error"]["details"]["error_code"]) == (
        400,
        "invalid_parameter",
    )
    reply = await make(client, request(), query={"max_cost_usd": "1"})
    assert reply.json()["error"]["details"]["errors"][0]["code"] == "unpriced_model"
    assert rows_of(database) == (0, 0, 0)


async def test_models_are_listed_in_pages_and_found_by_pattern(client: httpx.AsyncClient) -> None:
    path = "/anthropic/v1/models"
    listed = (await client.get(path)).json()
    names = [model["id"] for model in listed["data"]]
    assert {"either", "c", "claude/c", "o", "other/o"} <= set(names)
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (
        False,
        names[0],
        names[-1],
    )
    page = (await client.get(path, params={"limit": 2, "after_id": names[0]})).json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (names[1:3], True)
    page = (await client.get(path, params={"limit": 2, "before_id": names[3]})).json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (names[1:3], True)
    page = (await client.get(path, params={"limit": 9, "before_id": names[1]})).json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (names[:1], False)
    assert (await client.get(f"{path}/d-1")).json()["display_name"] == "d-1"
    reply = await client.get(f"{path}/unheard-of")
    assert (reply.status_code, reply.json()["error"]["type"]) == (404, "not_found_error")
    assert (await client.get(path, params={"after_id": "none"})).status_code == 400


async def test_what_is_not_there_is_told_in_anthropics_shape(client: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/anthropic/v1/nothing", 404),
        ("PUT", PATH, 405),
        ("GET", f"{PATH}?strange=1", 400),
    ):
        reply = await client.request(method, path)
        assert reply.status_code == status
        assert reply.json()["type"] == "error"
        assert reply.headers["request-id"].startswith("req_")


OF_THE_OPERATOR = Configuration.model_validate(
    {
        "surface_lane": "batch",
        "providers": {
            "claude": {
                "protocol": "anthropic",
                "base_url": "http://127.0.0.1:9",
                "models": ["c"],
            }
        },
    }
)


@pytest.mark.parametrize("configuration", [OF_THE_OPERATOR])
async def test_its_lane_is_the_operators_unless_it_says_one_and_so_is_its_deadline(
    client: httpx.AsyncClient, database: Database
) -> None:
    begun = datetime.now(UTC)
    seen = []
    for query in ({}, {"lane": "live"}, {"lane": "auto", "deadline": "06:00 Europe/Paris"}):
        reply = (await make(client, request(), query=query)).raise_for_status()
        batch = batch_of(database, native(database, reply.json()["id"]))
        seen.append((batch.lane, batch.deadline))
    assert [lane for lane, _ in seen] == ["batch", "live", "auto"]
    (_, within_a_day), (_, none), (_, six) = seen
    assert none is None
    assert within_a_day is not None
    assert within_a_day - begun > timedelta(hours=23, minutes=59)
    assert six is not None
    assert (six.minute, six.second) == (0, 0)
    refused = await make(client, request(), query={"deadline": "yesterday"})
    assert (refused.status_code, "deadline" in refused.text) == (400, True)
