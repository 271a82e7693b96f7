"""The processes of a run: killed on purpose, started again as a supervisor would, and watched."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from subprocess import Popen

import psutil

from scripts.benchmarks.meter import memory_bytes
from scripts.launcher.part import Part, send, start

REST_S = 0.5
"""Between the end of a part and its next start, as in `tidemill up`."""

LOOK_EVERY_S = 0.1


@dataclass(slots=True)
class _Member:
    part: Part
    process: Popen[bytes]
    due_at: float | None = None  # when it is started again; None while it runs
    is_held: bool = False  # it is down, and stays so until it is let go
    peak_bytes: int = 0


class Fleet:
    """Keeps parts running. `crashes` counts the ends that nobody here has asked for, by name."""

    def __init__(self, logs: Path) -> None:
        self.crashes: Counter[str] = Counter()
        self._logs = logs
        self._members: dict[str, _Member] = {}

    def add(self, part: Part) -> None:
        """Start a part, and keep it running from now on."""
        self._members[part.name] = _Member(part, start(part, self._logs))

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

    def peak_bytes(self) -> dict[str, int]:
        """Return the most memory that any process of each part was seen with."""
        return {name: member.peak_bytes for name, member in self._members.items()}

    async def tend(self) -> None:
        """Start again what has ended, for ever."""
        while True:
            for name, member in self._members.items():
                self._look_after(name, member)
            await asyncio.sleep(LOOK_EVERY_S)

    def stop(self) -> None:
        """End every part, rank by rank: politely, then not."""
        for member in self._members.values():
            send(member.process, signal.SIGCONT)
        ranked = sorted(self._members.values(), key=lambda member: member.part.stop_rank)
        for _, group in groupby(ranked, key=lambda member: member.part.stop_rank):
            _stop(list(group))

    def _look_after(self, name: str, member: _Member) -> None:
        now = time.monotonic()
        if member.due_at is not None:
            if now >= member.due_at and not member.is_held:
                member.process, member.due_at = start(member.part, self._logs), None
        elif member.process.poll() is not None:
            self.crashes[name] += 1
            member.due_at = now + REST_S
        else:
            with suppress(psutil.Error):
                used = memory_bytes(psutil.Process(member.process.pid))
                member.peak_bytes = max(member.peak_bytes, used)


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
