"""What tests say to Anthropic's surface over HTTP."""

import json
from typing import Any

import httpx

PATH = "/anthropic/v1/messages/batches"


def request(custom_id: str = "a", **params: Any) -> dict[str, Any]:
    said = {"model": "c", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
    return {"custom_id": custom_id, "params": {**said, **params}}


def body_of(*requests: Any) -> bytes:
    return json.dumps({"requests": requests}).encode()


async def make(
    client: httpx.AsyncClient, *requests: Any, query: dict[str, str] | None = None, **headers: str
) -> httpx.Response:
    headers = {"content-type": "application/json", **headers}
    return await client.post(PATH, content=body_of(*requests), headers=headers, params=query)
