"""Parts are started again when they end, and stopped rank by rank."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from scripts.launcher.parent import LAUNCHER_PID_VARIABLE
from scripts.launcher.part import MAX_LOG_BYTES, Part, open_log
from scripts.launcher.supervisor import (
    LONGEST_PAUSE_S,
    Supervisor,
    caught_signals,
    describe_status,
    pause_s,
)

ROOT = Path(__file__).resolve().parents[2]


def script(name: str, source: str, *, stop_rank: int = 0, stop_grace_s: float = 5.0) -> Part:
    """A part that runs a few lines of Python."""
    argv = (sys.executable, "-c", textwrap.dedent(source))
    return Part(name, argv, stop_rank=stop_rank, stop_grace_s=stop_grace_s)


def note(path: Path, name: str) -> str:
    """Source of a part that writes down when it is told to stop, and then ends."""
    return f"""
        import os, signal, time
        def stop(*_):
            with open({str(path)!r}, "a") as file:
                file.write("{name} ")
            os._exit(0)
        signal.signal(signal.SIGTERM, stop)
        print("listening", flush=True)
        time.sleep(60)
    """


def listening(logs: Path, *names: str) -> Callable[[], bool]:
    def all_do() -> bool:
        paths = [logs / f"{name}.log" for name in names]
        return all(path.exists() and "listening" in path.read_text() for path in paths)

    return all_do


def eventually(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    with caught_signals() as signals:
        supervisor = Supervisor(tmp_path, signals, said.append)
        yield supervisor
        supervisor.stop()


def test_pauses_grow_up_to_a_limit() -> None:
    assert [pause_s(crashes) for crashes in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert pause_s(50) == LONGEST_PAUSE_S


@pytest.mark.parametrize(
    ("status", "words"), [(0, "exit status 0"), (3, "exit status 3"), (-9, "SIGKILL")]
)
def test_an_end_is_said_in_words(status: int, words: str) -> None:
    assert describe_status(status) == words


def test_a_crashed_part_is_started_again_and_that_is_said(
    tmp_path: Path, supervisor: Supervisor, said: list[str]
) -> None:
    count = tmp_path / "count"
    supervisor.start(
        [
            script(
                "worker-1",
                f"""
                import sys, time
                with open({str(count)!r}, "a") as file:
                    file.write("x")
                if len(open({str(count)!r}).read()) < 2:
                    sys.exit(3)
                time.sleep(60)
                """,
            )
        ]
    )

    def twice() -> bool:
        return count.exists() and count.read_text() == "xx"

    began = time.monotonic()
    supervisor.run_until(
        lambda: twice() or time.monotonic() > began + 20,
        look_every_s=0.05,
    )
    assert count.read_text() == "xx"
    assert said == [
        "worker-1 ended with exit status 3; starting it again in 0.5 s "
        f"(see {tmp_path / 'worker-1.log'})"
    ]


def test_parts_are_stopped_rank_by_rank(tmp_path: Path, supervisor: Supervisor) -> None:
    order = tmp_path / "order"
    ranks = {"valkey": 2, "api": 1, "worker-1": 0, "beat": 0}
    supervisor.start(script(n, note(order, n), stop_rank=rank) for n, rank in ranks.items())
    supervisor.run_until(listening(tmp_path, *ranks), look_every_s=0.05)
    supervisor.stop()
    stopped = order.read_text().split()
    assert sorted(stopped[:2]) == ["beat", "worker-1"]
    assert stopped[2:] == ["api", "valkey"]


def test_a_part_that_does_not_stop_is_killed_after_its_grace(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    source = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("listening", flush=True)
        time.sleep(60)
    """
    supervisor.start([script("deaf", source, stop_grace_s=0.3)])
    supervisor.run_until(listening(tmp_path, "deaf"), look_every_s=0.05)
    began = time.monotonic()
    supervisor.stop()
    assert 0.3 <= time.monotonic() - began < 5


def test_ctrl_c_while_stopping_kills_at_once(tmp_path: Path, supervisor: Supervisor) -> None:
    source = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("listening", flush=True)
        time.sleep(60)
    """
    supervisor.start([script("slow", source, stop_grace_s=60.0)])
    supervisor.run_until(listening(tmp_path, "slow"), look_every_s=0.05)
    impatience = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    impatience.start()
    began = time.monotonic()
    supervisor.stop()
    impatience.join()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_wait(supervisor: Supervisor, number: signal.Signals) -> None:
    supervisor.start([script("idle", "import time; time.sleep(60)")])
    timer = threading.Timer(0.2, os.kill, (os.getpid(), number))
    timer.start()
    supervisor.run()
    timer.join()


LAUNCHER = """
    import sys
    from pathlib import Path
    from scripts.launcher.part import Part
    from scripts.launcher.supervisor import Supervisor, caught_signals
    logs = Path(sys.argv[1])
    source = "import os, time; print(os.getpid(), flush=True); time.sleep(120)"
    with caught_signals() as signals:
        supervisor = Supervisor(logs, signals, print)
        argv = (sys.executable, "-c", source)
        supervisor.start([Part("one", argv), Part("two", argv)])
        supervisor.run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere parts watch their parent themselves")
def test_no_child_outlives_a_killed_launcher(tmp_path: Path) -> None:
    launcher = subprocess.Popen(  # noqa: S603 - the test's own script
        [sys.executable, "-c", textwrap.dedent(LAUNCHER), str(tmp_path)], cwd=ROOT
    )
    logs = [tmp_path / "one.log", tmp_path / "two.log"]
    try:
        eventually(lambda: all(log.exists() and log.read_text().strip() for log in logs))
        children = [int(log.read_text()) for log in logs]
        assert all(alive(child) for child in children)
    finally:
        launcher.kill()
        launcher.wait()
    try:
        eventually(lambda: not any(alive(child) for child in children))
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


FOLLOWER = """
import os, time
from scripts.launcher.parent import follow_launcher
follow_launcher(os.environ)
print(os.getpid(), flush=True)
time.sleep(120)
"""

WATCHED_LAUNCHER = """
    import os, subprocess, sys, time
    name, source = sys.argv[1:]
    environment = {**os.environ, name: str(os.getpid())}
    subprocess.Popen([sys.executable, "-c", source], env=environment)
    time.sleep(120)
"""


def test_a_part_that_watches_its_launcher_ends_with_it() -> None:
    launcher = subprocess.Popen(  # noqa: S603 - the test's own script
        [sys.executable, "-c", textwrap.dedent(WATCHED_LAUNCHER), LAUNCHER_PID_VARIABLE, FOLLOWER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert launcher.stdout is not None
    child = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    try:
        eventually(lambda: not alive(child))
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_bytes(b"x" * (MAX_LOG_BYTES + 1))
    with open_log(path) as log:
        log.write(b"new")
    assert path.read_bytes() == b"new"
    assert (tmp_path / "api.log.1").stat().st_size == MAX_LOG_BYTES + 1
    with open_log(path) as log:
        log.write(b" and newer")
    assert path.read_bytes() == b"new and newer"
