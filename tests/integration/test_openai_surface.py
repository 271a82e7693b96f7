"""OpenAI's surface over HTTP on both databases: its shapes, its states, its errors."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from sqlmodel import Session

from api.openai import reading
from api.openai.readers import Readers
from api.openai.tidying import tidy
from jobs.clock import utcnow
from jobs.configuration import Configuration
from jobs.errors import IllegalTransition, ServiceUnavailable, StorageFull
from jobs.exchange import Usage
from jobs.file_store import FileStore
from jobs.scopes import Scope
from jobs.states import Outcome, ResultStatus
from jobs.store import Database, now
from jobs.store.attempts.reports import ResultDraft, Settlement, Unattempted
from jobs.store.batches import batches, uploads
from jobs.store.leases import leases, slices
from jobs.store.leases.leases import Lease
from jobs.store.money.settlement import flush
from jobs.store.projects import create_key, ensure_project
from jobs.store.results.results import cancel_jobs
from jobs.store.surfaces import file_batches, file_claims
from tests.support.eventually import eventually_async
from tests.support.openai_surface import ENDPOINT, make, put, request_line, show, validated
from tests.support.rows import batch_of, journal_of, lease_of

USED = Usage(input_tokens=5, cached_input_tokens=2, output_tokens=3, reasoning_tokens=1)
COMPLETION = '{"id":"chatcmpl-1","choices":[]}'
NOTHING: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None}


@pytest.fixture
def configuration() -> Configuration:
    return Configuration.model_validate(
        {
            "providers": {
                "sim": {
                    "protocol": "openai",
                    "base_url": "http://127.0.0.1:9",
                    "models": ["s", "t-*"],
                }
            },
            "routes": {"cheap": {"targets": ["sim/s"]}},
        }
    )


@pytest.fixture
def another_key(database: Database) -> str:
    with database.write() as session:
        return create_key(session, ensure_project(session, "another"))


async def accepted(client: httpx.AsyncClient, *lines: bytes, **more: Any) -> dict[str, Any]:
    file_id = (await put(client, b"".join(lines))).raise_for_status().json()["id"]
    made = (await make(client, file_id, **more)).raise_for_status().json()
    shown = await validated(client, made["id"])
    assert shown["status"] == "in_progress", shown
    return shown


def native(database: Database, batch_id: str) -> str:
    """The name that the batch has under `/api`."""
    with database.read() as session:
        _, batch = file_batches.find(session, 1, batch_id)
    assert batch is not None
    return batch.ref


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
            settled = Settlement(journal, Outcome.SUCCEEDED, USED, result=result)
            flush(session, [], [settled])
    return lease


def close(database: Database, ref: str) -> None:
    """End a slice all of whose jobs have their result, as its worker does."""
    with database.read() as session:
        batch = batches.find(session, 1, ref)
    with database.write() as session:
        locked = batches.lock(session, batch.id or 0)
        locked.done_slices = locked.total_slices
        assert batches.finish_if_complete(session, locked)


ANSWERED = ResultDraft(ResultStatus.SUCCEEDED, output=COMPLETION)


def failed(code: str) -> ResultDraft:
    return ResultDraft(ResultStatus.FAILED, error_code=code, error_message="no")


async def test_a_file_is_kept_shown_listed_read_and_deleted(client: httpx.AsyncClient) -> None:
    content = request_line() * 3
    file = (await put(client, content)).raise_for_status().json()
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(content),
        "created_at": file["created_at"],
        "expires_at": file["created_at"] + 30 * 86400,
        "filename": "in.jsonl",
        "purpose": "batch",
        "status": "processed",
    }
    assert file["id"].startswith("file-")
    assert abs(file["created_at"] - time.time()) < 60
    path = f"/v1/files/{file['id']}"
    assert (await client.get(path)).json() == file
    reply = await client.get(f"{path}/content")
    assert (reply.content, reply.headers["content-type"]) == (content, "application/jsonl")
    listed = (await client.get("/v1/files")).json()
    assert (listed["data"], listed["has_more"]) == ([file], False)
    gone = await client.delete(path, headers={"content-type": "application/json"})
    assert gone.json() == {"id": file["id"], "object": "file", "deleted": True}
    for missing in (client.get(path), client.get(f"{path}/content"), client.delete(path)):
        assert (await missing).status_code == 404
    assert (await client.get("/v1/files")).json() == {**NOTHING, "has_more": False}


async def test_the_bytes_of_a_file_whose_commit_gave_no_answer_are_kept(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = app.state.services.database
    write = database.write

    @contextmanager
    def committed_unheard() -> Iterator[Session]:
        with write() as session:
            yield session
        raise ServiceUnavailable("the connection broke")

    monkeypatch.setattr(database, "write", committed_unheard)
    assert (await put(client, b"{}")).status_code == 503
    monkeypatch.undo()
    (file,) = (await client.get("/v1/files")).json()["data"]
    assert (await client.get(f"/v1/files/{file['id']}/content")).content == b"{}"


async def test_a_list_of_files_goes_on_after_one_in_either_order(client: httpx.AsyncClient) -> None:
    ids = [(await put(client, b"{}")).json()["id"] for _ in range(3)]
    page = (await client.get("/v1/files", params={"limit": 2, "order": "asc"})).json()
    assert [file["id"] for file in page["data"]] == ids[:2]
    assert (page["has_more"], page["first_id"], page["last_id"]) == (True, ids[0], ids[1])
    page = (await client.get("/v1/files", params={"after": ids[1], "order": "asc"})).json()
    assert ([file["id"] for file in page["data"]], page["has_more"]) == (ids[2:], False)
    page = (await client.get("/v1/files", params={"after": ids[1]})).json()
    assert [file["id"] for file in page["data"]] == ids[:1]
    none = (await client.get("/v1/files", params={"purpose": "batch_output"})).json()
    assert none["data"] == []


async def test_a_file_is_kept_as_long_as_is_asked_and_its_bytes_go_with_it(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = (await put(client, b"{}", **form)).json()
    assert file["expires_at"] == file["created_at"] + 3600
    monkeypatch.setattr(
        "jobs.store.surfaces.files.now", lambda session: now(session) + timedelta(hours=2)
    )
    assert (await client.get(f"/v1/files/{file['id']}")).status_code == 404
    services = app.state.services
    folder = services.settings.files_folder()
    assert (folder / file["id"]).exists()
    tidy(services)
    assert list(folder.iterdir()) == []
    monkeypatch.undo()
    assert (await client.get(f"/v1/files/{file['id']}")).status_code == 404


async def test_a_batch_is_made_at_once_and_read_afterwards(
    client: httpx.AsyncClient, database: Database
) -> None:
    file_id = (await put(client, request_line("a") + request_line("b"))).json()["id"]
    made = (await make(client, file_id, metadata={"x": "1"}, priority="bulk")).json()
    assert made == {
        "id": made["id"],
        "object": "batch",
        "endpoint": ENDPOINT,
        "model": None,
        "errors": None,
        "input_file_id": file_id,
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": made["created_at"],
        "in_progress_at": None,
        "expires_at": None,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": {"x": "1"},
        "usage": None,
    }
    shown = await validated(client, made["id"])
    assert shown["status"] == "in_progress"
    assert shown["in_progress_at"] >= shown["created_at"]
    assert shown["request_counts"] == {"total": 2, "completed": 0, "failed": 0}
    seen = (await client.get(f"/api/batches/{native(database, made['id'])}")).json()
    assert (seen["name"], seen["priority"], seen["counts"]["total"]) == (made["id"], "bulk", 2)


async def test_answers_and_errors_are_two_files_that_are_read_while_the_batch_runs(
    client: httpx.AsyncClient, database: Database
) -> None:
    names = ["a", "b", "c", "d", "e"]
    made = await accepted(client, *map(request_line, names))
    assert (await client.get("/v1/files", params={"purpose": "batch_output"})).json()["data"] == []
    ref = native(database, made["id"])
    results = [ANSWERED, failed("request_rejected"), ANSWERED, failed("server_failed")]
    finish(database, ref, results)
    shown = await show(client, made["id"])
    assert (shown["output_file_id"], shown["error_file_id"]) == (None, None)
    assert shown["request_counts"] == {"total": 5, "completed": 2, "failed": 2}
    assert shown["usage"] == {
        "input_tokens": 14,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 20,
    }
    listed = (await client.get("/v1/files", params={"purpose": "batch_output"})).json()["data"]
    errors, output = listed
    assert [output["filename"], errors["filename"]] == [
        f"{made['id']}_output.jsonl",
        f"{made['id']}_error.jsonl",
    ]
    assert (output["purpose"], output["bytes"]) == ("batch_output", None)
    lines = await content_of(client, output["id"])
    assert [(line["custom_id"], line["error"]) for line in lines] == [("a", None), ("c", None)]
    assert [line["response"]["body"] for line in lines] == [json.loads(COMPLETION)] * 2
    assert len({line["id"] for line in lines}) == 2
    rejected, broken = await content_of(client, errors["id"])
    assert (rejected["custom_id"], rejected["error"]) == ("b", None)
    assert rejected["response"]["status_code"] == 400
    assert rejected["response"]["body"]["error"] == {
        "message": "no",
        "type": "invalid_request_error",
        "param": None,
        "code": "request_rejected",
    }
    assert broken["response"]["status_code"] == 500
    assert broken["response"]["body"]["error"]["type"] == "server_error"


async def content_of(client: httpx.AsyncClient, file_id: str) -> list[dict[str, Any]]:
    reply = await client.get(f"/v1/files/{file_id}/content")
    return [json.loads(line) for line in reply.raise_for_status().content.splitlines()]


async def test_a_batch_that_has_ended_names_the_files_that_it_has(
    client: httpx.AsyncClient, database: Database
) -> None:
    made = await accepted(
        client, request_line(), output_expires_after={"anchor": "created_at", "seconds": 7200}
    )
    ref = native(database, made["id"])
    finish(database, ref, [ANSWERED])
    close(database, ref)
    shown = await show(client, made["id"])
    assert (shown["status"], shown["error_file_id"]) == ("completed", None)
    assert shown["completed_at"] >= shown["in_progress_at"]
    output = (await client.get(f"/v1/files/{shown['output_file_id']}")).json()
    assert output["expires_at"] == output["created_at"] + 7200
    assert (await client.delete(f"/v1/files/{output['id']}")).json()["deleted"]
    assert (await client.get(f"/v1/files/{output['id']}/content")).status_code == 404
    assert (await client.get(f"/api/batches/{ref}/results")).content.count(b"\n") == 1


async def test_bad_lines_fail_the_batch_and_are_told_by_line(client: httpx.AsyncClient) -> None:
    lines = [
        request_line("a"),
        b"not json\n",
        request_line("a"),
        request_line("b", url="/v1/embeddings"),
        request_line("c", kind="generation"),
        request_line("d", body={"model": "s"}),
    ]
    file_id = (await put(client, b"".join(lines))).json()["id"]
    shown = await validated(client, (await make(client, file_id)).json()["id"])
    assert (shown["status"], shown["errors"]["object"]) == ("failed", "list")
    assert shown["failed_at"] >= shown["created_at"]
    assert shown["in_progress_at"] is None
    told = [(fault["line"], fault["code"], fault["param"]) for fault in shown["errors"]["data"]]
    assert told == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "url_mismatch", "url"),
        (5, "invalid_value", "kind"),
        (6, "missing_field", "body.messages"),
    ]
    assert all(fault["message"] for fault in shown["errors"]["data"])
    assert (await client.get("/api/batches")).json()["data"] == []


async def test_under_a_budget_lines_without_a_price_fail_the_batch(
    client: httpx.AsyncClient,
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    shown = await validated(client, (await make(client, file_id, max_cost_usd="1")).json()["id"])
    assert shown["errors"]["data"][0]["code"] == "unpriced_model"


async def test_batches_are_listed_newest_first_page_by_page(client: httpx.AsyncClient) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    ids = [(await make(client, file_id)).json()["id"] for _ in range(3)]
    page = (await client.get("/v1/batches", params={"limit": 2})).json()
    assert [batch["id"] for batch in page["data"]] == ids[:0:-1]
    assert (page["has_more"], page["last_id"]) == (True, ids[1])
    page = (await client.get("/v1/batches", params={"after": ids[1]})).json()
    assert ([batch["id"] for batch in page["data"]], page["has_more"]) == (ids[:1], False)
    reply = await client.get("/v1/batches", params={"after": "batch_none"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_cursor")


async def test_a_cancelled_batch_keeps_its_answers_and_tells_of_the_rest(
    client: httpx.AsyncClient, database: Database
) -> None:
    made = await accepted(client, request_line("a"), request_line("b"))
    ref = native(database, made["id"])
    lease = finish(database, ref, [ANSWERED])
    empty = {"content-type": "application/json", "content-length": "0"}
    shown = (await client.post(f"/v1/batches/{made['id']}/cancel", headers=empty)).json()
    assert (shown["status"], shown["cancelled_at"]) == ("cancelling", None)
    assert shown["cancelling_at"] >= shown["created_at"]
    again = (await client.post(f"/v1/batches/{made['id']}/cancel")).json()
    assert again["cancelling_at"] == shown["cancelling_at"]
    cancel_rest(database, lease)
    shown = await show(client, made["id"])
    assert shown["status"] == "cancelled"
    assert shown["cancelled_at"] >= shown["cancelling_at"]
    (line,) = await content_of(client, shown["error_file_id"])
    assert (line["custom_id"], line["response"]) == ("b", None)
    assert line["error"]["code"] == "batch_cancelled"
    assert len(await content_of(client, shown["output_file_id"])) == 1
    reply = await client.post(f"/v1/batches/{made['id']}/cancel")
    assert reply.status_code == 200  # it is cancelled


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


async def test_a_batch_that_has_ended_cant_be_cancelled_and_clients_dont_ask_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    made = await accepted(client, request_line())
    ref = native(database, made["id"])
    finish(database, ref, [ANSWERED])
    close(database, ref)
    reply = await client.post(f"/v1/batches/{made['id']}/cancel")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (400, "illegal_transition")
    assert f"batch {made['id']} has ended" in error["message"]


async def test_a_batch_is_cancelled_while_its_file_is_read(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids: list[str] = []
    true_open = FileStore.open

    def slow(self: FileStore, ref: str) -> Any:
        with app.state.services.database.write() as session:
            file_batches.cancel(session, 1, ids[0])
        return true_open(self, ref)

    monkeypatch.setattr(Readers, "wake", lambda _self: None)
    file_id = (await put(client, request_line())).json()["id"]
    made = (await make(client, file_id)).json()
    ids.append(made["id"])
    monkeypatch.setattr(FileStore, "open", slow)
    shown = await validated(client, made["id"])
    assert shown["status"] == "cancelled"
    assert shown["cancelled_at"] == shown["cancelling_at"]

    async def is_gone() -> bool:
        with app.state.services.database.read() as session:
            return not uploads.abandoned(session, now(session) + timedelta(hours=1))

    await eventually_async(is_gone, 20, "nothing of it is left")
    assert (await client.get("/api/batches")).json()["data"] == []


async def test_a_reader_that_died_is_replaced_and_one_taken_for_dead_makes_no_second_batch(
    client: httpx.AsyncClient, app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    readers: Readers = app.state.readers
    await asyncio.to_thread(readers.stop)
    made = (await make(client, file_id)).json()
    with database.write() as session:
        dead = file_claims.claim_next(session)
    assert dead is not None
    with database.write() as session:
        assert file_claims.claim_next(session) is None  # it may be alive
    monkeypatch.setattr(file_claims, "SILENT", -file_claims.SILENT)
    fresh = Readers(app.state.services)
    assert await asyncio.to_thread(fresh.read_next)
    assert (await show(client, made["id"]))["status"] == "in_progress"
    with pytest.raises(IllegalTransition), database.write() as session:
        file_claims.accept(session, dead, 1)
    with pytest.raises(IllegalTransition), database.write() as session:
        file_claims.touch(session, dead)
    assert len((await client.get("/api/batches")).json()["data"]) == 1
    assert not await asyncio.to_thread(fresh.read_next)


async def test_a_file_of_which_reader_after_reader_dies_fails_in_the_end(
    client: httpx.AsyncClient, app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    await asyncio.to_thread(app.state.readers.stop)
    made = (await make(client, file_id)).json()
    monkeypatch.setattr(file_claims, "SILENT", -file_claims.SILENT)
    for _ in range(reading.MOST_CLAIMS):
        with database.write() as session:
            assert file_claims.claim_next(session) is not None
    await asyncio.to_thread(Readers(app.state.services).read_next)
    shown = await show(client, made["id"])
    assert shown["status"] == "failed"
    assert shown["errors"]["data"][0]["code"] == "unreadable_file"


async def test_a_reader_that_has_no_room_leaves_the_batch_to_be_read_later(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    await asyncio.to_thread(app.state.readers.stop)
    made = (await make(client, file_id)).json()
    readers = Readers(app.state.services)
    readers._stopping.set()  # it does not wait before it looks again

    def full(_session: object) -> None:
        raise StorageFull

    with monkeypatch.context() as patched:
        patched.setattr("jobs.ingest.require_room", full)
        for _ in range(reading.MOST_CLAIMS + 2):
            assert await asyncio.to_thread(readers.read_next)
    assert (await show(client, made["id"]))["status"] == "validating"
    fresh = Readers(app.state.services)
    assert await asyncio.to_thread(fresh.read_next)
    assert (await show(client, made["id"]))["status"] == "in_progress"


async def test_a_batch_whose_file_was_deleted_before_it_was_read_fails(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    await asyncio.to_thread(app.state.readers.stop)
    made = (await make(client, file_id)).json()
    await client.delete(f"/v1/files/{file_id}")
    await asyncio.to_thread(Readers(app.state.services).read_next)
    shown = await show(client, made["id"])
    assert (shown["status"], shown["errors"]["data"][0]["code"]) == ("failed", "not_found")


async def test_a_request_that_is_repeated_makes_one_batch(client: httpx.AsyncClient) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    again = {"x-stainless-retry-count": "1"}
    first = (await make(client, file_id, headers=again)).json()["id"]
    assert (await make(client, file_id, headers=again)).json()["id"] == first
    second = (await make(client, file_id, headers={"x-stainless-retry-count": "0"})).json()["id"]
    assert second != first
    keyed = {"idempotency-key": "k1"}
    third = (await make(client, file_id, headers=keyed)).json()["id"]
    reply = await make(client, file_id, headers=keyed)
    assert (reply.json()["id"], reply.headers["idempotent-replayed"]) == (third, "true")
    reply = await make(client, file_id, headers=keyed, metadata={"a": "b"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len((await client.get("/v1/batches")).json()["data"]) == 3


async def test_nothing_of_another_project_is_seen(
    client: httpx.AsyncClient, database: Database, another_key: str
) -> None:
    made = await accepted(client, request_line())
    finish(database, native(database, made["id"]), [ANSWERED])
    file_id = made["input_file_id"]
    (output,) = (await client.get("/v1/files", params={"purpose": "batch_output"})).json()["data"]
    client.headers["x-api-key"] = another_key
    for name in (file_id, output["id"]):
        assert (await client.get(f"/v1/files/{name}")).status_code == 404
        assert (await client.get(f"/v1/files/{name}/content")).status_code == 404
        assert (await client.delete(f"/v1/files/{name}")).status_code == 404
    assert (await client.get(f"/v1/batches/{made['id']}")).status_code == 404
    assert (await client.post(f"/v1/batches/{made['id']}/cancel")).status_code == 404
    assert (await make(client, file_id)).status_code == 400
    assert (await client.get("/v1/files")).json()["data"] == []
    assert (await client.get("/v1/batches")).json()["data"] == []
    assert (await client.get("/v1/files", params={"after": file_id})).status_code == 400


async def test_nothing_has_a_nul_in_its_name(client: httpx.AsyncClient) -> None:
    for path in ("files/a%00", "files/a%00/content", "batches/a%00"):
        assert (await client.get(f"/v1/{path}")).status_code == 404
    assert (await client.delete("/v1/files/a%00")).status_code == 404
    assert (await client.post("/v1/batches/a%00/cancel")).status_code == 404
    assert (await client.get("/v1/files?purpose=a%00")).json()["data"] == []
    for path in ("files", "batches"):
        assert (await client.get(f"/v1/{path}?after=a%00")).status_code == 400


async def test_without_a_key_or_with_a_weak_one_the_shape_is_the_same(
    client: httpx.AsyncClient, database: Database
) -> None:
    with database.write() as session:
        weak = create_key(session, ensure_project(session, "default"), scopes={Scope.READ})
    del client.headers["x-api-key"]
    reply = await client.get("/v1/files")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    bearer = {"authorization": f"Bearer {weak}"}
    assert (await client.get("/v1/files", headers=bearer)).status_code == 200
    reply = await client.post("/v1/batches", json={}, headers=bearer)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_scope")


async def test_a_batch_that_may_take_a_lane_is_wanted_within_its_window(
    client: httpx.AsyncClient, database: Database
) -> None:
    made = await accepted(client, request_line(), lane="batch")
    batch = batch_of(database, native(database, made["id"]))
    assert (batch.lane, batch.lane_due_at is not None, made["expires_at"]) == ("batch", True, None)
    assert batch.deadline is not None
    assert int(batch.deadline.timestamp()) - made["created_at"] in {86_400, 86_399}
    plain = batch_of(database, native(database, (await accepted(client, request_line()))["id"]))
    assert (plain.lane, plain.deadline) == ("live", None)


async def test_a_deadline_that_is_over_makes_no_batch_and_is_repeated_under_its_key(
    client: httpx.AsyncClient, database: Database
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    over = (utcnow() - timedelta(hours=1)).isoformat()
    refused = await make(client, file_id, deadline=over)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "deadline")
    soon = (utcnow() + timedelta(hours=1)).isoformat()
    keyed = {"deadline": soon, "headers": {"idempotency-key": "k1"}}
    first = (await make(client, file_id, **keyed)).raise_for_status()
    with database.write() as session:
        made, _ = file_batches.find(session, 1, first.json()["id"])
        assert made.deadline is not None
        assert made.deadline.isoformat() == soon
    again = (await make(client, file_id, **keyed)).raise_for_status()
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (
        first.json()["id"],
        "true",
    )
