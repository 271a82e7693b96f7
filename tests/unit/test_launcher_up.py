"""`tidemill up` with real processes: what starts, what ends, and what comes back."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.settings import Settings
from scripts.launcher import valkey
from scripts.launcher.up import UpOptions, our_parts

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = """
    import http.server, os, signal, sys, time
    name, home = sys.argv[1], os.environ["TIDEMILL_HOME"]
    if "crash" in os.environ.get("STAND_IN", "") and name in os.environ["STAND_IN"]:
        sys.exit("no way")
    def stop(*_):
        with open(os.path.join(home, "stopped"), "a") as file:
            file.write(name + " ")
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
    print(os.getpid(), os.environ["TIDEMILL_CONFIG"], flush=True)
    if name == "api":
        class Ready(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/readyz" else 404)
                self.end_headers()
            def log_message(self, *_): pass
        port = int(sys.argv[sys.argv.index("--port") + 1])
        http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
    time.sleep(120)
"""
"""Takes the place of every part of ours: what the launcher does with them is what is tested here."""

LAUNCHER = """
    import sys
    from rich.console import Console
    from jobs.errors import TidemillError
    from jobs.settings import Settings
    from scripts.launcher import up
    up.tidemill = lambda name, *options: (sys.executable, sys.argv[1], name, *options)
    options = up.UpOptions(port=int(sys.argv[2]), flower_port=int(sys.argv[3]))
    try:
        status = up.up(Settings(), options, Console(width=200))
    except TidemillError as error:
        sys.exit(error.message)
    sys.exit(status)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@dataclass
class Launched:
    """A launcher whose parts are stand-ins, with a real embedded server."""

    process: subprocess.Popen[bytes]
    home: Path
    port: int
    output: Path

    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> None:
        eventually(lambda: "Tidemill is ready" in self.said())

    def log(self, name: str) -> str:
        with suppress(FileNotFoundError):
            return (self.home / "logs" / f"{name}.log").read_text()
        return ""

    def pids(self) -> dict[str, int]:
        pids = {n: int(self.log(n).split()[0]) for n in ("api", "worker-1", "beat", "flower")}
        pids["valkey"] = int((self.home / "valkey" / "valkey.pid").read_text())
        return pids


Launch = Callable[..., Launched]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    launched: list[Launched] = []
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(textwrap.dedent(STAND_IN))
    configuration = tmp_path / "tidemill.toml"
    configuration.write_text(
        '[providers.cloud]\nprotocol = "openai"\nbase_url = "https://api.example.com/v1"\n'
        '[[providers.cloud.pools]]\nkeys = ["env:A_KEY_THAT_IS_NOT_SET"]\n'
    )

    def start(stand_in_does: str = "") -> Launched:
        home, port = tmp_path / "home", free_port()
        output = tmp_path / f"output-{len(launched)}"
        own = {name: value for name, value in os.environ.items() if "TIDEMILL" not in name}
        with output.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603 - the test's own script
                [
                    *(sys.executable, "-c", textwrap.dedent(LAUNCHER)),
                    *(str(stand_in), str(port), str(free_port())),
                ],
                cwd=ROOT,
                env={
                    **own,
                    "TIDEMILL_HOME": str(home),
                    "TIDEMILL_CONFIG": str(configuration),
                    "STAND_IN": stand_in_does,
                },
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        launched.append(Launched(process, home, port, output))
        return launched[-1]

    yield start
    for each in launched:
        if each.process.poll() is None:
            each.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                each.process.wait(timeout=20)
        each.process.kill()
        each.process.wait()


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_workers_and_the_beat_stop_before_the_api(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, drain_grace_s=7)
    parts = our_parts(settings, UpOptions(workers=2), tmp_path / "tidemill.toml")
    assert {part.name: part.stop_rank for part in parts} == {
        "api": 1,
        "worker-1": 0,
        "worker-2": 0,
        "beat": 0,
        "flower": 1,
    }
    assert {p.stop_grace_s for p in parts if p.stop_rank == 0} == {12.0}


def test_everything_starts_and_stops_in_order(launch: Launch) -> None:
    launched = launch()
    launched.wait_ready()
    said = launched.said()
    assert f"http://127.0.0.1:{launched.port}/" in said
    assert "A_KEY_THAT_IS_NOT_SET is not set" in said, "a missing key is a warning"
    for path in ("api-key", "flower-password"):
        assert str(launched.home / path) in said
    assert (launched.home / "api-key").stat().st_mode & 0o777 == 0o600
    assert launched.home.stat().st_mode & 0o777 == 0o700
    settings = Settings(home=launched.home)
    assert valkey.answers(settings.embedded_socket())
    eventually(lambda: all(launched.log(name) for name in ("worker-1", "beat", "flower")))
    pids = launched.pids()

    launched.process.send_signal(signal.SIGTERM)
    assert launched.process.wait(timeout=20) == 0
    stopped = (launched.home / "stopped").read_text().split()
    assert sorted(stopped[:2]) == ["beat", "worker"]
    assert sorted(stopped[2:]) == ["api", "flower"]
    assert not any(alive(pid) for pid in pids.values())
    assert not settings.embedded_socket().exists()


def test_a_killed_launcher_takes_all_with_it_and_the_next_starts(launch: Launch) -> None:
    first = launch()
    first.wait_ready()
    eventually(lambda: all(first.log(name) for name in ("worker-1", "beat", "flower")))
    pids = first.pids()
    first.process.kill()
    first.process.wait()
    if sys.platform == "linux":
        eventually(lambda: not any(alive(pid) for pid in pids.values()))
    second = launch()
    second.wait_ready()
    second.process.send_signal(signal.SIGINT)
    assert second.process.wait(timeout=20) == 0


def test_a_killed_part_comes_back(launch: Launch) -> None:
    launched = launch()
    launched.wait_ready()
    eventually(lambda: bool(launched.log("worker-1")))
    os.kill(int(launched.log("worker-1").split()[0]), signal.SIGKILL)
    eventually(lambda: len(launched.log("worker-1").splitlines()) == 2)
    assert "worker-1 ended with SIGKILL; starting it again in 0.5 s" in launched.said()


def test_a_killed_embedded_server_comes_back(launch: Launch) -> None:
    launched = launch()
    launched.wait_ready()
    settings = Settings(home=launched.home)
    os.kill(int((launched.home / "valkey" / "valkey.pid").read_text()), signal.SIGKILL)
    eventually(lambda: "valkey ended with SIGKILL" in launched.said())
    eventually(lambda: valkey.answers(settings.embedded_socket()))


def test_a_second_launcher_on_the_home_says_who_has_it(launch: Launch) -> None:
    first = launch()
    first.wait_ready()
    second = launch()
    assert second.process.wait(timeout=20) == 1
    assert f"process {first.process.pid}) already uses {first.home}" in second.said()
    connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=5)
    connection.request("GET", "/readyz")
    assert connection.getresponse().status == 200, "the first goes on"
    connection.close()


def test_a_part_that_never_comes_up_is_shown_with_the_end_of_its_log(launch: Launch) -> None:
    launched = launch("crash api")
    assert launched.process.wait(timeout=30) == 1
    assert "api does not come up" in launched.said()
    assert "no way" in launched.said()
    assert not valkey.answers(Settings(home=launched.home).embedded_socket())
