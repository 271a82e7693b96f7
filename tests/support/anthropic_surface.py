"""What tests say to Anthropic's surface over HTTP."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

PATH = "/anthropic/v1/messages/batches"


def request(custom_id: str = "a", **params: Any) -> dict[str, Any]:
    said = {"model": "c", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi"}]}
    return {"custom_id": custom_id, "params": {**said, **params}}


def body_of(*requests: Any) -> bytes:
    return json.dumps({"requests": requests}).encode()


async def make(
    client: httpx.AsyncClient,
    *requests: Any,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    told = {"content-type": "application/json", **(headers or {})}
    return await client.post(PATH, content=body_of(*requests), headers=told, params=query)
