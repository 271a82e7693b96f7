"""Keeps parts running: starts them, starts a crashed one again, and stops them in order.

One thread, which sleeps until a child ends, a signal arrives or something is due.
"""

import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from scripts.launcher.part import Part, log_path, send, start

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 30.0
"""A part that ran for this long is trusted again: its next crash is its first."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def pause_s(crashes: int) -> float:
    """How long a part rests before it is started again, after so many crashes in a row."""
    return float(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(crashes - 1, 10)))


class Signals:
    """The stop requests that this process got, and a sleep that any signal ends."""

    def __init__(self, wakeup: socket.socket) -> None:
        self._wakeup = wakeup
        self.asked_to_stop = False
        self.interrupts = 0

    def wait(self, timeout_s: float) -> None:
        """Sleep for `timeout_s`, or until a child ended or a signal arrived."""
        ready, _, _ = select.select([self._wakeup], [], [], max(0.0, timeout_s))
        if ready:
            with suppress(BlockingIOError):
                numbers = self._wakeup.recv(4096)
                self.asked_to_stop |= any(number in _STOP_SIGNALS for number in numbers)
                self.interrupts += numbers.count(signal.SIGINT)


@contextmanager
def caught_signals() -> Iterator[Signals]:
    """Turn SIGTERM, SIGINT and the end of a child into something to wait for."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    previous_descriptor = signal.set_wakeup_fd(writing.fileno())
    numbers = (*_STOP_SIGNALS, signal.SIGCHLD)
    previous = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield Signals(reading)
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_descriptor)
        reading.close()
        writing.close()


@dataclass(slots=True)
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    started_at: float
    crashes: int = 0
    due_at: float | None = None  # when it is started again; None while it runs


class Supervisor:
    """The parts of one launcher. `say` prints one line for the person who watches."""

    def __init__(self, log_folder: Path, signals: Signals, say: Callable[[str], None]) -> None:
        self._log_folder = log_folder
        self._signals = signals
        self._say = say
        self._running: list[_Running] = []

    def start(self, parts: Iterable[Part]) -> None:
        """Start `parts`, and keep them running from now on."""
        for part in parts:
            process = start(part, self._log_folder)
            self._running.append(_Running(part, process, time.monotonic()))

    def run_until(self, done: Callable[[], bool], *, look_every_s: float) -> None:
        """Keep the parts running until `done`, or until somebody asks to stop."""
        while not self._signals.asked_to_stop and not done():
            now = time.monotonic()
            for running in self._running:
                self._look_after(running, now)
            due = [r.due_at for r in self._running if r.due_at is not None]
            self._signals.wait(min([look_every_s, *(at - now for at in due)]))

    def run(self) -> None:
        """Keep the parts running until somebody asks to stop."""
        # The end of a child wakes us; the minute only bounds what a lost signal costs.
        self.run_until(lambda: False, look_every_s=60.0)

    def worst(self) -> tuple[str, int]:
        """The part that crashed most often in a row, and how often."""
        worst = max(self._running, key=lambda r: r.crashes)
        return worst.part.name, worst.crashes

    def stop(self) -> None:
        """Stop every part, rank by rank. A Ctrl-C while this waits has the rest killed at once."""
        ranked = sorted(self._running, key=lambda r: r.part.stop_rank)
        self._running = []
        interrupts_before = self._signals.interrupts
        for _, group in groupby(ranked, key=lambda r: r.part.stop_rank):
            rank = list(group)
            for running in rank:
                send(running.process, signal.SIGTERM)
            self._wait_for(rank, interrupts_before)

    def _look_after(self, running: _Running, now: float) -> None:
        part = running.part
        if running.due_at is not None:
            if now >= running.due_at:
                running.process = start(part, self._log_folder)
                running.started_at, running.due_at = now, None
            return
        status = running.process.poll()
        if status is None:
            if now - running.started_at > STEADY_AFTER_S:
                running.crashes = 0
            return
        running.crashes += 1
        rest_s = pause_s(running.crashes)
        running.due_at = now + rest_s
        self._say(
            f"{part.name} ended with {describe_status(status)}; starting it again in {rest_s:g} s "
            f"(see {log_path(part, self._log_folder)})"
        )

    def _wait_for(self, rank: Sequence[_Running], interrupts_before: int) -> None:
        deadline = time.monotonic() + max(r.part.stop_grace_s for r in rank)
        while any(r.process.poll() is None for r in rank):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self._signals.interrupts > interrupts_before:
                break
            self._signals.wait(left_s)
        for running in rank:
            send(running.process, signal.SIGKILL)
            running.process.wait()


def describe_status(status: int) -> str:
    """Say in words how a process ended."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
