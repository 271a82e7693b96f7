"""What tests say to OpenAI's surface over HTTP."""

import json
from typing import Any

import httpx

from tests.support.eventually import eventually_async

ENDPOINT = "/v1/chat/completions"


def request_line(custom_id: str = "a", **line: Any) -> bytes:
    body = {"model": "s", "messages": [{"role": "user", "content": "Hi"}]}
    whole = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body, **line}
    return json.dumps(whole).encode() + b"\n"


async def put(client: httpx.AsyncClient, content: bytes, **form: str) -> httpx.Response:
    return await client.post(
        "/v1/files",
        data={"purpose": "batch", **form},
        files={"file": ("in.jsonl", content, "application/octet-stream")},
    )


async def make(client: httpx.AsyncClient, file_id: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h", **more}
    return await client.post("/v1/batches", json=body, headers=headers)


async def show(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/v1/batches/{batch_id}")).raise_for_status().json()
    return found


async def validated(client: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    async def is_read() -> bool:
        return bool((await show(client, batch_id))["status"] != "validating")

    await eventually_async(is_read, 20, "the file has been read")
    return await show(client, batch_id)
