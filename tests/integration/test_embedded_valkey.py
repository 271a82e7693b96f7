"""The embedded Valkey of one machine: where it serves, and what it keeps through stops and kills."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from redis import Redis

from jobs.errors import ServiceUnavailable
from jobs.queues import make_celery, publish_slice, queue_length
from jobs.settings import Settings
from scripts.launcher import valkey


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def started() -> Iterator[Callable[[Settings], subprocess.Popen[bytes]]]:
    with ExitStack() as stack:

        def start(settings: Settings) -> subprocess.Popen[bytes]:
            argv = valkey.server(settings).argv
            process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
            stack.callback(end, process)
            eventually(lambda: valkey.answers(settings.embedded_socket()))
            return process

        yield start


def end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait()


Start = Callable[[Settings], subprocess.Popen[bytes]]


def client(settings: Settings) -> Redis:
    return Redis.from_url(settings.resolved_redis_url())


@pytest.mark.parametrize("folder", ["home", "a home with spaces", "d" * 120])
def test_it_serves_on_its_socket_alone(tmp_path: Path, started: Start, folder: str) -> None:
    settings = Settings(home=tmp_path / folder)
    started(settings)
    assert settings.embedded_socket().parent.stat().st_mode & 0o777 == 0o700
    with client(settings) as redis:
        configuration = redis.config_get("port", "appendonly", "appendfsync", "maxmemory-policy")
    assert configuration == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
    }


def test_it_is_broker_and_gate(tmp_path: Path, started: Start) -> None:
    settings = Settings(home=tmp_path)
    started(settings)
    app = make_celery(settings)
    publish_slice(app, "openai", "b1", 0)
    assert queue_length(app, "openai") == 1


def test_a_stop_loses_nothing(tmp_path: Path, started: Start) -> None:
    settings = Settings(home=tmp_path)
    process = started(settings)
    with client(settings) as redis:
        redis.set("tokens", "17")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    started(settings)
    with client(settings) as redis:
        assert redis.get("tokens") == b"17"


def test_a_leftover_is_replaced_and_loses_nothing(tmp_path: Path, started: Start) -> None:
    settings = Settings(home=tmp_path)
    leftover = started(settings)
    with client(settings) as redis:
        redis.set("tokens", "17")
    reaped_while(leftover, lambda: valkey.clear_leftover(settings))
    assert leftover.returncode == 0
    assert not settings.embedded_socket().exists()
    started(settings)
    with client(settings) as redis:
        assert redis.get("tokens") == b"17"


def test_a_frozen_leftover_is_killed(
    tmp_path: Path, started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "LEFTOVER_STOPS_WITHIN_S", 0.3)
    settings = Settings(home=tmp_path)
    leftover = started(settings)
    leftover.send_signal(signal.SIGSTOP)
    reaped_while(leftover, lambda: valkey.clear_leftover(settings))
    assert leftover.returncode == -signal.SIGKILL
    started(settings)


def test_a_process_that_took_over_the_id_is_left_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    valkey.server(settings)
    pid_file = tmp_path / "valkey" / "valkey.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    valkey.clear_leftover(settings)


def test_a_socket_that_a_kill_left_behind_is_no_obstacle(tmp_path: Path, started: Start) -> None:
    settings = Settings(home=tmp_path)
    process = started(settings)
    process.kill()
    process.wait()
    assert settings.embedded_socket().exists()
    valkey.clear_leftover(settings)
    started(settings)


def test_a_server_without_a_pid_file_is_not_taken_for_ours(tmp_path: Path, started: Start) -> None:
    settings = Settings(home=tmp_path)
    started(settings)
    (tmp_path / "valkey" / "valkey.pid").unlink()
    with pytest.raises(ServiceUnavailable, match="unknown server"):
        valkey.clear_leftover(settings)


def reaped_while(process: subprocess.Popen[bytes], act: Callable[[], None]) -> None:
    """Act while the process is waited for: a leftover's real parent is init, which does that."""
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    act()
    reaper.join(timeout=10)
