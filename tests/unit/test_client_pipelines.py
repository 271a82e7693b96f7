"""Pipelines and runs for programs: each method's request and answer, with threads and with asyncio."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import httpx
import pytest

from api.description.examples import EXAMPLES
from tidemill import AsyncTidemill, Tidemill, feed, patience

RUN: dict[str, Any] = dict(EXAMPLES["GET /api/runs/{run_id}"].answers["200"])
RUN_ID = RUN["id"]
OF_RUN = f"/api/runs/{RUN_ID}"


class Server:
    """Answers as the examples say; the run goes on for two looks. `loses` so many requests before."""

    def __init__(self, loses: int = 0) -> None:
        self.loses = loses
        self.looks = 0
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if len(self.requests) <= self.loses:
            raise httpx.ConnectError("refused")
        path = request.url.path.replace(RUN_ID, "{run_id}").replace("nightly", "{pipeline}")
        (answer,) = EXAMPLES[f"{request.method} {path}"].answers.values()
        if path == "/api/runs":
            is_first = "cursor" not in request.url.params
            answer = {**answer, "next_cursor": RUN_ID if is_first else None}
        if (request.method, path) == ("GET", "/api/runs/{run_id}"):
            self.looks += 1
            answer = RUN if self.looks > 2 else {**RUN, "state": "running"}
        return httpx.Response(200, json=answer)


Ask = Callable[..., Any]
"""Calls a method of `client.pipelines` by its name."""


def by_threads(server: Server, name: str, *given: Any, **more: Any) -> Any:
    http = httpx.Client(transport=httpx.MockTransport(server), base_url="http://sim")
    found = getattr(Tidemill(http=http).pipelines, name)(*given, **more)
    return list(found) if name == "runs" else found


def by_asyncio(server: Server, name: str, *given: Any, **more: Any) -> Any:
    async def call() -> Any:
        http = httpx.AsyncClient(transport=httpx.MockTransport(server), base_url="http://sim")
        found = getattr(AsyncTidemill(http=http).pipelines, name)(*given, **more)
        return [run async for run in found] if name == "runs" else await found

    return asyncio.run(call())


@pytest.fixture(params=[by_threads, by_asyncio])
def ask(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setattr(feed, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(patience, "_PAUSE", lambda _state: 0.001)
    found: Ask = request.param
    return found


def test_they_are_listed_begun_and_read(ask: Ask) -> None:
    server = Server()
    (pipeline,) = ask(server, "list")
    assert (pipeline.name, pipeline.last_run.has_succeeded) == ("nightly-articles", True)
    begun = ask(server, "start", "nightly", date=date(2026, 11, 20), idempotency_key="k")
    assert (begun.state, begun.stages[0].name) == ("waiting", "summary")
    request = server.requests[-1]
    assert request.url.path == "/api/pipelines/nightly/runs"
    assert request.url.params["date"] == "2026-11-20"
    assert request.headers["idempotency-key"] == "k"
    assert [run.id for run in ask(server, "runs", "nightly", page_size=1)] == [RUN_ID] * 2
    assert dict(server.requests[-1].url.params) == {
        "pipeline": "nightly",
        "limit": "1",
        "cursor": RUN_ID,
    }
    (failure,) = ask(server, "failures", RUN_ID)
    assert (failure.key, failure.stage) == ("a17", "summary")
    assert ask(server, "receipt", RUN_ID).deadlines.kept == 1
    assert server.requests[-1].url.path == f"{OF_RUN}/receipt"


def test_a_run_is_waited_for_and_taken_up_again_once(ask: Ask) -> None:
    server = Server(loses=1)
    run = ask(server, "wait", RUN_ID)
    assert (run.is_final, run.rows.failed, len(server.requests)) == (True, 2, 4)
    taken_up = ask(server, "retry", run, from_stage="summary", as_now=True)
    assert taken_up.state == "running"
    assert dict(server.requests[-1].url.params) == {"from": "summary", "as_now": "true"}
    assert ask(server, "cancel", run).state == "cancelled"
    with pytest.raises(TimeoutError, match=f"run {RUN_ID} is running, with 1,000 rows, 998 done"):
        ask(Server(), "wait", run, timeout_s=0)
