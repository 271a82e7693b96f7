"""Who watches a real system is told, in every way there is: events, a socket, webhooks, figures, logs."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from standardwebhooks import Webhook as Receiver
from websockets.sync.client import connect

from jobs.scopes import Scope
from jobs.store.projects import create_key, ensure_project
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.system import ROOT, System, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 30


class Inbox(ThreadingHTTPServer):
    """Takes webhooks' messages."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.taken: list[tuple[dict[str, str], str]] = []


class Taker(BaseHTTPRequestHandler):
    """One message."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        assert isinstance(self.server, Inbox)
        self.server.taken.append((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as inbox:
        thread = threading.Thread(target=inbox.serve_forever)
        thread.start()
        yield inbox
        inbox.shutdown()
        thread.join()


def command(system: System, *arguments: str) -> Any:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "scripts.command", *arguments, "--json"],
        cwd=ROOT,
        env=system.client_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def listened(system: System, ref: str) -> list[tuple[str, Any]]:
    """Return all events of a batch with their ids."""
    told: list[tuple[str, Any]] = []
    said: dict[str, str] = {}
    with system.http.stream("GET", f"/api/batches/{ref}/events?results=true") as answer:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            said |= {name: value} if line else {}
            if not line and "event" in said:
                told.append((said["event"], json.loads(said["data"])))
            said = said if line else {}
    return told


def test_a_batch_is_told_of_in_every_way(
    simulator: "Simulator", inbox: Inbox, tmp_path: Path
) -> None:
    metrics_port = free_port()
    with running_system(
        tmp_path / "watched",
        simulator.url,
        TIDEMILL_WEBHOOKS_TO_PRIVATE="true",
        TIDEMILL_LOG_FORMAT="json",
        TIDEMILL_METRICS_ADDRESS=f"127.0.0.1:{metrics_port}",
    ) as system:
        system.start_up()
        made = command(system, "webhooks", "create", f"http://127.0.0.1:{inbox.server_port}/hooks")
        assert [one["id"] for one in command(system, "webhooks", "list")["data"]] == [made["id"]]
        ref = system.submit(lines(JOBS))
        _is_told_by_events_and_a_socket(system, ref)
        _is_told_by_a_webhook(inbox, made["secret"], ref)
        _is_told_by_figures(system, metrics_port)
        _is_told_by_logs(system, ref)


def _is_told_by_events_and_a_socket(system: System, ref: str) -> None:
    told = listened(system, ref)
    assert told[-1] == ("end", {"state": "completed"})
    results = [line for kind, line in told if kind == "result"]
    assert results == system.results(ref)
    assert len(results) == JOBS
    headers = {"x-api-key": system.key}
    url = system.url.replace("http://", "ws://") + "/api/ws"
    with connect(url, additional_headers=headers) as socket:
        socket.send(json.dumps({"type": "subscribe", "batch": ref, "results": True, "after": 28}))
        messages = [json.loads(socket.recv(timeout=20.0)) for _ in range(4)]
    assert [message["type"] for message in messages] == ["progress", "result", "result", "end"]
    assert [message["data"] for message in messages[1:3]] == results[28:]


def _is_told_by_a_webhook(inbox: Inbox, secret: str, ref: str) -> None:
    def final() -> list[tuple[dict[str, str], str]]:
        return [one for one in inbox.taken if json.loads(one[1])["type"] == "batch.completed"]

    ((headers, body),) = eventually(final, 20.0, "the webhook is told of the end")
    Receiver(secret).verify(body, headers)
    data = json.loads(body)["data"]
    assert (data["id"], data["succeeded"]) == (ref, JOBS)


def _is_told_by_figures(system: System, metrics_port: int) -> None:
    with system.database() as database, database.write() as session:
        project_id = ensure_project(session, "default")
        key = create_key(session, project_id, scopes=[Scope.METRICS])
    whole = httpx.get(f"{system.url}/metrics", headers={"x-api-key": key}).text
    told = dict(line.rsplit(" ", 1) for line in whole.splitlines() if not line.startswith("#"))
    pool = 'provider="sim"' if 'provider="sim"' in whole else 'provider="openai"'
    succeeded = [
        float(value)
        for name, value in told.items()
        if name.startswith("tidemill_attempts_total") and pool in name and "succeeded" in name
    ]
    assert sum(succeeded) == JOBS
    assert float(told["tidemill_workers"]) == 1
    assert float(told["tidemill_gate_up"]) == 1
    beat = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    assert "tidemill_lease_takeovers_total 0.0" in beat
    worker = httpx.get(f"http://127.0.0.1:{metrics_port + 1}/metrics").text
    for figure in ("tidemill_settle_seconds_count", "tidemill_loop_lag_seconds_count"):
        assert figure in worker
    assert "tidemill_worker_in_flight 0.0" in worker


def _is_told_by_logs(system: System, ref: str) -> None:
    log = (system.home / "logs" / "api.log").read_text(encoding="utf-8")
    records = [json.loads(line) for line in log.splitlines()]
    (submitted,) = [one for one in records if one.get("batch") == ref]
    assert submitted["logger"] == "tidemill.audit"
    assert submitted["message"].startswith("batch_submitted")
