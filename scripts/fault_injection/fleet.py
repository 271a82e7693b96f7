"""The processes of a run: killed on purpose, started again as a supervisor would, and watched."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from subprocess import Popen

import psutil

from scripts.benchmarks.meter import memory_bytes
from scripts.launcher.part import Part, log_path, send, start

REST_S = 0.5
"""Between the end of a part and its next start, as in `tidemill up`."""

LOOK_EVERY_S = 0.1
WEIGH_EVERY_S = 0.5

LAST_LINES = 12
LAST_BYTES = 8192
"""How much of what a process said last is kept."""


@dataclass(frozen=True, slots=True)
class End:
    """A process that nobody here has ended. Times are Unix time.

    `status` is negative for the number of a signal. `last_lines` are of this process, the newest last;
    none if it said nothing, or if its log had no room.
    """

    name: str
    started_at: float
    ended_at: float
    status: int
    last_lines: Sequence[str]


@dataclass(slots=True)
class _Member:
    part: Part
    process: Popen[bytes]
    started_at: float
    said_bytes: int  # what is in the log that other processes of this part wrote before
    due_at: float | None = None  # when it is started again; None while it runs
    is_held: bool = False  # it is down, and stays so until it is let go


class Fleet:
    """Keeps parts running. `ends` are those that nobody here has asked for, in order.

    `peak_bytes` is the most memory that any process of each part was seen with. `started` has the ids
    of all processes that ever ran.
    """

    def __init__(self, logs: Path) -> None:
        self.ends: list[End] = []
        self.peak_bytes: dict[str, int] = {}
        self.started: list[int] = []
        self._logs = logs
        self._members: dict[str, _Member] = {}

    def add(self, part: Part) -> None:
        """Start a part, and keep it running from now on."""
        self._members[part.name] = self._started(part)

    def process_id(self, name: str) -> int | None:
        """Return the id of a part's process, None while it is down."""
        member = self._members[name]
        is_up = member.due_at is None and member.process.poll() is None
        return member.process.pid if is_up else None

    def files_can_grow(self, name: str, can: bool) -> None:
        """Let a running part write to files again, or no byte more, as on a disk that is full."""
        process_id = self.process_id(name)
        if process_id is not None:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(process_id)
                _soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
                process.rlimit(psutil.RLIMIT_FSIZE, (hard if can else 0, hard))

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a part a signal."""
        send(self._members[name].process, number)

    def kill(self, name: str, *, hold: bool = False) -> None:
        """End a part with SIGKILL; it is started again after `REST_S`, or once it is let go."""
        member = self._members[name]
        send(member.process, signal.SIGKILL)
        member.process.wait()
        member.is_held = hold
        member.due_at = time.monotonic() + REST_S

    def let_go(self, name: str) -> None:
        """Start a part that is held."""
        member = self._members[name]
        member.is_held, member.due_at = False, time.monotonic()

    async def tend(self) -> None:
        """Start again what has ended, for ever."""
        weigh_at = 0.0
        while True:
            for name, member in self._members.items():
                self._look_after(name, member)
            if (now := time.monotonic()) >= weigh_at:
                self._weigh()
                weigh_at = now + WEIGH_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)

    def stop(self) -> None:
        """End every part, rank by rank: politely, then not."""
        for member in self._members.values():
            send(member.process, signal.SIGCONT)
        ranked = sorted(self._members.values(), key=lambda member: member.part.stop_rank)
        for _, group in groupby(ranked, key=lambda member: member.part.stop_rank):
            _stop(list(group))

    def _started(self, part: Part) -> _Member:
        path = log_path(part, self._logs)
        said_bytes = path.stat().st_size if path.exists() else 0
        process = start(part, self._logs)
        self.started.append(process.pid)
        was_put_aside = path.stat().st_size < said_bytes
        return _Member(part, process, time.time(), 0 if was_put_aside else said_bytes)

    def _look_after(self, name: str, member: _Member) -> None:
        now = time.monotonic()
        if member.due_at is not None:
            if now >= member.due_at and not member.is_held:
                self._members[name] = self._started(member.part)
        elif (status := member.process.poll()) is not None:
            said = _last_lines(log_path(member.part, self._logs), member.said_bytes)
            self.ends.append(End(name, member.started_at, time.time(), status, said))
            member.due_at = now + REST_S

    def _weigh(self) -> None:
        for name, member in self._members.items():
            with suppress(psutil.Error):
                used = memory_bytes(psutil.Process(member.process.pid))
                self.peak_bytes[name] = max(self.peak_bytes.get(name, 0), used)


def _last_lines(log: Path, after_bytes: int) -> Sequence[str]:
    with log.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(after_bytes, size_bytes - LAST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-LAST_LINES:]


def _stop(rank: Sequence[_Member]) -> None:
    for member in rank:
        send(member.process, signal.SIGTERM)
    deadline = time.monotonic() + max(member.part.stop_grace_s for member in rank)
    for member in rank:
        while member.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        send(member.process, signal.SIGKILL)
        member.process.wait()
        with suppress(ProcessLookupError):  # whom a killed one has left behind
            os.killpg(member.process.pid, signal.SIGKILL)
