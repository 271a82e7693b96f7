"""A provider simulator as a real process, for as long as a test needs it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import orjson
import pytest

ROOT = Path(__file__).parents[2]
CALL_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
SET_PARENT_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of Linux's prctl(2)."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator: `url` is its address without a path."""

    url: str
    process: subprocess.Popen[bytes]
    client: httpx.Client

    def ledger(self) -> dict[str, Any]:
        """Return the summary of the simulator's own account."""
        return self._json(self.client.get("/_sim/ledger"))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each request that it saw, in the order of arrival."""
        reply = self.client.get("/_sim/ledger/rows").raise_for_status()
        return [orjson.loads(line) for line in reply.content.splitlines()]

    def faults(self, *faults: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Let these faults happen from now on, and no others.

        `changes` are `latency`, `limits`, `output_tokens` and `batches`. Returns what is in force.
        """
        body = {"faults": faults, **changes}
        return self._json(self.client.post("/_sim/faults", json=body))

    def reset(self) -> None:
        """Empty the ledger and go back to the options of the start."""
        self.client.post("/_sim/reset").raise_for_status()

    @staticmethod
    def _json(reply: httpx.Response) -> dict[str, Any]:
        document: dict[str, Any] = reply.raise_for_status().json()
        return document


@contextmanager
def running_simulator(*arguments: str) -> Iterator[Simulator]:
    """Start a simulator on a free port with these command-line arguments; stop it at the end."""
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", "scripts.simulator", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        preexec_fn=_end_with_parent(),  # noqa: PLW1509 - one system call, prepared before the fork
    )
    try:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready, f"the simulator ended with status {process.wait()}"
        url = orjson.loads(ready)["url"]
        with httpx.Client(base_url=url, timeout=CALL_TIMEOUT_S, trust_env=False) as client:
            yield Simulator(url, process, client)
    finally:
        _stop(process)


def _end_with_parent() -> Callable[[], None] | None:
    """Return what makes a child die with its parent, even when that is killed; Linux only."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    parent = os.getpid()

    def prepare() -> None:
        library.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the signal was set
            os._exit(1)

    return prepare


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()


class StartSimulator(Protocol):
    """What the fixture `start_simulator` is: give it arguments, get a simulator."""

    def __call__(self, *arguments: str) -> Simulator: ...


@pytest.fixture
def start_simulator() -> Iterator[StartSimulator]:
    """Start simulators with arguments of their own; they are stopped after the test."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(running_simulator(*arguments))


@pytest.fixture(scope="module")
def simulator_options() -> Sequence[str]:
    """What the shared simulator is started with; a module that needs more has a fixture of this name."""
    return ()


@pytest.fixture(scope="module")
def shared_simulator(simulator_options: Sequence[str]) -> Iterator[Simulator]:
    """The one simulator that a module's tests use in turn."""
    with running_simulator(*simulator_options) as running:
        yield running


@pytest.fixture
def simulator(shared_simulator: Simulator) -> Simulator:
    """Give a simulator as good as new: no faults, no latency, no limits, an empty ledger."""
    shared_simulator.reset()
    return shared_simulator
