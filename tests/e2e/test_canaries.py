"""No secret and no text of a user is found outside the database, whatever goes wrong on the way.

Every secret and text of this system is a word of its own; then everything that it says is searched.
"""

import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest
import redis
from sqlalchemy import text

from jobs.scopes import Scope
from jobs.store.projects import create_key, ensure_project, revoke_key
from scripts.launcher.flower_login import AUTH_VARIABLE
from tests.support.eventually import eventually
from tests.support.redis_servers import OwnRedis, tapped
from tests.support.system import System, family, running_system

JOBS = 40


def word(name: str) -> str:
    return f"canary{name}{secrets.token_hex(8)}"


PROVIDER_KEY = word("providerkey")
REDIS_PASSWORD = word("redispassword")
FLOWER_PASSWORD = word("flowerpassword")
PROMPT = word("prompt")
OUTPUT = word("output")
HEADER = word("header")


class Echo(BaseHTTPRequestHandler):
    """A provider that repeats all it was sent, headers included, in most of the ways to fail."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["content-length"])).decode()
        server = self.server
        assert isinstance(server, EchoServer)
        said = f"{dict(self.headers)} {asked}"
        turn = server.turn(asked)
        if "job-rejected" in asked:
            self._answer(400, {"error": {"message": said, "type": "invalid_request_error"}})
        elif "job-failing" in asked and turn == 1:
            self._answer(500, {"error": {"message": said}})
        elif "job-garbled" in asked and turn == 1:
            self._answer(200, said)
        elif "job-limited" in asked and turn == 1:
            self._answer(429, {"error": {"message": said, "code": said[:40]}})
        elif "job-cut" in asked and turn == 1:
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n" + said.encode())
        else:
            choice = {"message": {"content": OUTPUT}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2}
            self._answer(200, {"model": "m", "choices": [choice], "usage": usage})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode() if not isinstance(body, str) else body.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.send_header("x-echo", HEADER)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class EchoServer(ThreadingHTTPServer):
    """The server, which counts how often it was asked the same."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()

    def turn(self, asked: str) -> int:
        with self._lock:
            self._turns[asked] = self._turns.get(asked, 0) + 1
            return self._turns[asked]


@pytest.fixture
def provider_url() -> Iterator[str]:
    with EchoServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def redis_client(own_redis: OwnRedis) -> Iterator[redis.Redis]:
    """A server of this test that asks for the password."""
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", REDIS_PASSWORD)
        client.auth(REDIS_PASSWORD)
        yield client


@pytest.fixture
def system(
    provider_url: str, own_redis: OwnRedis, redis_client: redis.Redis, tmp_path: Path
) -> Iterator[System]:
    """Every part as a process of its own."""
    assert redis_client.ping()
    environment = {
        "TIDEMILL_BROKER_URL": own_redis.url.replace("://", f"://:{REDIS_PASSWORD}@"),
        "CANARY_PROVIDER_KEY": PROVIDER_KEY,
        "TIDEMILL_LOG_LEVEL": "DEBUG",
        AUTH_VARIABLE: f"tidemill:{FLOWER_PASSWORD}",
    }
    with running_system(tmp_path / "own", provider_url, **environment) as system:
        system.config.write_text(
            f'[providers.openai]\nprotocol = "openai"\nmodels = ["m"]\nbase_url = "{provider_url}"\n'
            '[[providers.openai.pools]]\nkeys = ["env:CANARY_PROVIDER_KEY"]\n',
            encoding="utf-8",
        )
        yield system


def jobs() -> list[dict[str, str]]:
    kinds = ("plain", "rejected", "failing", "garbled", "limited", "cut")
    return [
        {
            "custom_id": f"{PROMPT}-{number}",
            "model": "m",
            "system": f"system {PROMPT}",
            "prompt": f"job-{kinds[number % len(kinds)]}-{number} {PROMPT}",
        }
        for number in range(JOBS)
    ]


def everything_in(client: redis.Redis) -> dict[str, str]:
    """Every key with its value."""
    read: dict[str, Callable[[str], object]] = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    keys = [os.fsdecode(key) for key in client.keys("*")]
    return {f"Redis {key}": f"{key} {read[os.fsdecode(client.type(key))](key)!r}" for key in keys}


def test_no_secret_and_no_text_leaves_the_database(
    system: System, own_redis: OwnRedis, redis_client: redis.Redis
) -> None:
    system.start_api(TIDEMILL_LOG_FORMAT="json")
    system.start("flower", "--port", str(system.flower_port))
    system.start_worker()
    system.start_beat()
    with system.database() as database, database.write() as session:
        revoked = create_key(session, ensure_project(session, "default"))
        revoke_key(session, revoked[:9])
    said: dict[str, str] = {}
    with tapped(own_redis.url, REDIS_PASSWORD) as commands:
        system.http.headers["x-canary"] = HEADER
        batch = system.wait(system.submit(jobs(), name=f"name {PROMPT}"), 90.0)
        said |= answers_to_what_is_wrong(system, revoked)
        assert_all_came_back(system, batch["id"])
        said |= everything_in(redis_client)
        said |= shown_by_flower(system)
        said |= commands_of(system)
        said |= figures_of(system)
        if sys.platform == "linux":
            each_keeps_to_itself(system)
        break_the_database(system)
        said["broken GET"] = system.http.get("/api/batches").text
        said["broken POST"] = system.http.post("/api/batches", json=jobs()[0]).text
    said["broker"] = "\n".join(commands)
    said |= {f"log of {process.name}": process.log() for process in system.processes}
    said |= {
        f"file {path.name}": path.read_text(encoding="utf-8", errors="replace")
        for path in system.home.rglob("*")
        if path.is_file() and path.name != "api-key" and "tidemill.db" not in path.name
    }
    assert "tidemill.run_slice" in said["broker"]
    assert "ready for slices" in "".join(said.values())
    found = {
        (canary[:20], where): everything[max(0, everything.find(canary) - 200) :][:400]
        for where, everything in said.items()
        for canary in (
            PROVIDER_KEY,
            REDIS_PASSWORD,
            FLOWER_PASSWORD,
            system.key,
            revoked,
            PROMPT,
            OUTPUT,
            HEADER,
        )
        if canary in everything
    }
    assert found == {}


def answers_to_what_is_wrong(system: System, revoked: str) -> dict[str, str]:
    """What is said to requests that are refused; each holds words that it need not repeat."""
    http = system.http
    return {
        "revoked": http.get("/api/batches", headers={"authorization": f"Bearer {revoked}"}).text,
        "bad line": http.post(
            "/api/batches", content=b'{"custom_id": 1, "prompt": "' + PROMPT.encode() + b'"}'
        ).text,
        "no json": http.post("/api/batches", content=PROMPT.encode() * 3).text,
        "no batch": http.get("/api/batches/bat_0").text,
        "no route": http.get("/nowhere").text,
        "no budget": http.patch("/api/budget", content=PROMPT.encode()).text,
    }


def assert_all_came_back(system: System, batch_id: str) -> None:
    """The texts are where they belong, or this test would find nothing for the wrong reason."""
    results = system.results(batch_id)
    assert len(results) == JOBS
    assert {row["output"] for row in results if row["status"] == "succeeded"} == {OUTPUT}
    failed = [row for row in results if row["status"] == "failed"]
    assert failed
    for row in failed:
        assert "[key]" in row["error"]["message"]
        assert PROVIDER_KEY not in row["error"]["message"]


def shown_by_flower(system: System) -> dict[str, str]:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{system.flower_port}",
        auth=("tidemill", FLOWER_PASSWORD),
        trust_env=False,
    ) as flower:
        eventually(lambda: "run_slice" in flower.get("/api/tasks").text, 20.0, "Flower has a task")
        paths = ("/", "/tasks", "/broker", "/api/tasks", "/api/workers?refresh=1")
        return {f"Flower {path}": flower.get(path).text for path in paths}


def figures_of(system: System) -> dict[str, str]:
    """What Prometheus is told."""
    with system.database() as database, database.write() as session:
        key = create_key(session, ensure_project(session, "default"), scopes=[Scope.METRICS])
    told = system.http.get("/metrics", headers={"authorization": f"Bearer {key}"}).text
    assert "tidemill_attempts_total" in told
    return {"metrics": told}


def commands_of(system: System) -> dict[str, str]:
    """What `ps` shows to every user of the machine."""
    processes = [psutil.Process(process.pid) for process in system.processes]
    processes += [child for process in system.processes for child in family(process.pid)]
    assert len(processes) >= 4
    return {f"ps {process.pid}": " ".join(process.cmdline()) for process in processes}


def each_keeps_to_itself(system: System) -> None:
    """What a process makes nobody else reads, and it leaves no image of its memory behind."""
    for process in system.processes:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        assert "Umask:\t0077" in status, process.name
        assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_CORE) == (0, 0), process.name


def break_the_database(system: System) -> None:
    with system.database() as database, database.write() as session:
        session.connection().execute(text("ALTER TABLE batch RENAME TO gone"))
