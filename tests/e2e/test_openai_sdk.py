"""OpenAI's own client, unmodified, against `tidemill up`: only its base URL is another one."""

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from tests.support.system import SMALL, System

if TYPE_CHECKING:
    pass

pytest_plugins = ("tests.support.simulator",)

WITHIN_S = 60.0


@pytest.fixture
def client(one_machine: System) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{one_machine.url}/v1", api_key=one_machine.key) as client:
        yield client


def request_line(number: int, **fields: Any) -> str:
    body = {"model": SMALL, "messages": [{"role": "user", "content": f"Say {number}."}], **fields}
    line = {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(line)


def jsonl(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def ended(client: OpenAI, batch_id: str) -> Any:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        batch = client.batches.retrieve(batch_id)
        if batch.status in {"completed", "failed", "cancelled", "expired"}:
            return batch
        time.sleep(0.1)
    raise AssertionError(f"not ended: {batch}")


def batch_of(client: OpenAI, content: bytes, **more: Any) -> Any:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def test_the_published_example_of_a_batch(client: OpenAI) -> None:
    file = client.files.create(
        file=("batchinput.jsonl", jsonl(*map(request_line, range(20)))), purpose="batch"
    )
    assert (file.object, file.purpose, file.filename) == ("file", "batch", "batchinput.jsonl")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"description": "nightly eval job"},
    )
    assert batch.status in {"validating", "in_progress"}
    batch = ended(client, batch.id)
    assert batch.status == "completed"
    assert batch.request_counts.total == batch.request_counts.completed == 20
    assert batch.metadata == {"description": "nightly eval job"}
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    assert batch.created_at <= batch.in_progress_at <= batch.completed_at
    assert batch.error_file_id is None
    lines = [json.loads(line) for line in client.files.content(batch.output_file_id).iter_lines()]
    assert {line["custom_id"] for line in lines} == {f"request-{number}" for number in range(20)}
    for line in lines:
        assert line["error"] is None
        assert line["response"]["status_code"] == 200
        assert line["response"]["body"]["object"] == "chat.completion"
        assert line["response"]["body"]["choices"][0]["message"]["content"]
        assert line["response"]["body"]["usage"]["total_tokens"] > 0
