"""What OpenAI's surface refuses, and in which shape; nothing here depends on the database."""

import errno
import gzip
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.openai.tidying import tidy
from jobs.configuration import Configuration
from tests.support.openai_surface import make, put, request_line, validated


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tidemill.db'}"


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


@pytest.mark.parametrize(
    ("data", "sent", "param", "code"),
    [
        ({"purpose": "assistants"}, {"file": ("a", b"x")}, "purpose", "invalid_parameter"),
        ({}, {"file": ("a", b"x")}, "purpose", "invalid_parameter"),
        ({"purpose": "batch"}, {"other": ("a", b"x")}, None, "invalid_form"),
        (
            {
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "5",
            },
            {"file": ("a", b"x")},
            "expires_after[seconds]",
            "invalid_parameter",
        ),
        (
            {"purpose": "batch", "strange": "1"},
            {"file": ("a", b"x")},
            "strange",
            "invalid_parameter",
        ),
        ({"purpose": "b" * 5000}, {"file": ("a", b"x")}, None, "invalid_form"),
        ({"purpose": "batch"}, {"file": ("a" * 300, b"x")}, None, "invalid_form"),
    ],
)
async def test_an_upload_that_is_none_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient,
    app: FastAPI,
    data: dict[str, str],
    sent: dict[str, Any],
    param: str | None,
    code: str,
) -> None:
    reply = await client.post("/v1/files", data=data, files=sent)
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert (error["param"], error["code"]) == (param, code)
    assert error["type"] == "invalid_request_error"
    folder = app.state.services.settings.files_folder()
    assert not folder.exists() or list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"no form at all", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: text/plain\r\n\r\nabc\r\n--x--",
            400,
        ),
    ],
)
async def test_a_body_that_is_no_whole_form_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, app: FastAPI, content_type: str, body: bytes, status: int
) -> None:
    headers = {"content-type": content_type}
    reply = await client.post("/v1/files", content=body, headers=headers)
    assert (reply.status_code, reply.json().keys()) == (status, {"error"})
    folder = app.state.services.settings.files_folder()
    assert not folder.exists() or list(folder.iterdir()) == []


class _Disk:
    total = 1 << 30
    free = 1 << 20


async def test_a_packed_form_is_refused(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x", "content-encoding": "gzip"}
    reply = await client.post("/v1/files", content=b"x", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_encoding")


async def test_a_file_that_is_too_large_or_has_no_room_leaves_nothing(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = app.state.services.settings
    monkeypatch.setattr("api.openai.uploads.FORM_BYTES", -settings.max_upload_bytes + 1000)
    reply = await put(client, b"x" * 2000)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    monkeypatch.undo()
    monkeypatch.setattr("jobs.file_store.RESERVE_BYTES", 1 << 60)
    monkeypatch.setattr("jobs.file_store.shutil.disk_usage", lambda _path: _Disk())
    reply = await put(client, b"x" * 2000)
    assert (reply.status_code, reply.json()["error"]["code"]) == (507, "storage_full")
    assert reply.json()["error"]["type"] == "server_error"
    assert list(settings.files_folder().iterdir()) == []


async def test_a_disk_without_room_for_one_more_name_is_full(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_inode_left(path: Path, *_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("jobs.file_store.Path.open", no_inode_left)
    reply = await put(client, b"x")
    assert (reply.status_code, reply.json()["error"]["code"]) == (507, "storage_full")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"file_id": "file-none"}, "input_file_id"),
        ({"file_id": "file-\0"}, "input_file_id"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            "output_expires_after.seconds",
        ),
        ({"max_cost_usd": "lots"}, "max_cost_usd"),
        ({"strange": 1}, "strange"),
    ],
)
async def test_a_batch_that_cant_be_made_is_refused_with_the_parameter(
    client: httpx.AsyncClient, change: dict[str, Any], param: str
) -> None:
    file_id = (await put(client, request_line())).json()["id"]
    reply = await make(client, **{"file_id": file_id, **change})
    assert reply.status_code == 400, reply.text
    error = reply.json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert (await client.get("/v1/batches")).json()["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PUT", "/v1/files", 405, "method_not_allowed"),
        ("GET", "/v1/files?limit=0", 400, "invalid_parameter"),
        ("GET", "/v1/batches?strange=1", 400, "invalid_parameter"),
        ("POST", "/v1/batches", 400, "invalid_parameter"),
    ],
)
async def test_every_error_has_openais_shape(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    reply = await client.request(method, path)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert error["message"]


async def test_a_refusal_of_head_has_no_body(client: httpx.AsyncClient) -> None:
    reply = await client.head("/v1/files/none")
    assert (reply.status_code, reply.content) == (404, b"")
    assert reply.headers["content-type"] == "application/json"


async def test_a_fault_of_our_own_has_openais_shape_and_no_internals(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("jobs.store.surfaces.files.page", broken)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://tidemill", headers=client.headers
    ) as careless:
        reply = await careless.get("/v1/files")
    assert reply.status_code == 500
    error = reply.json()["error"]
    assert (error["code"], error["type"]) == ("internal_error", "server_error")
    assert "secret" not in reply.text


async def test_models_are_the_routes_and_what_the_configuration_names(
    client: httpx.AsyncClient,
) -> None:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    owners = {model["id"]: model["owned_by"] for model in listed["data"]}
    assert owners == {"cheap": "tidemill", "s": "sim", "sim/s": "sim"}
    for name, owner in (("cheap", "tidemill"), ("sim/s", "sim"), ("t-1", "sim")):
        found = (await client.get(f"/v1/models/{name}")).json()
        assert found == {"id": name, "object": "model", "created": 0, "owned_by": owner}
    reply = await client.get("/v1/models/unheard-of")
    assert (reply.status_code, reply.json().keys()) == (404, {"error"})


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n\n", "empty_file"),
        (b"x" * (17 << 20), "line_too_long"),
        (gzip.compress(b"{}\n{}\n"), "invalid_encoding"),
    ],
)
async def test_a_file_that_can_be_no_batch_says_so_as_a_whole(
    client: httpx.AsyncClient, content: bytes, code: str
) -> None:
    file_id = (await put(client, content)).json()["id"]
    shown = await validated(client, (await make(client, file_id)).json()["id"])
    (fault,) = shown["errors"]["data"]
    assert (shown["status"], fault["code"], fault["line"]) == ("failed", code, None)


async def test_bytes_that_belong_to_no_file_are_tidied_away_and_no_others(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = (await put(client, b"{}")).json()
    folder = app.state.services.settings.files_folder()
    (folder / "file-of-a-killed-process").write_bytes(b"x")
    (folder / "file-cut-off.part").write_bytes(b"x")
    tidy(app.state.services)
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr("api.openai.tidying.ABANDONED_S", -1.0)
    tidy(app.state.services)
    assert [path.name for path in folder.iterdir()] == [file["id"]]
