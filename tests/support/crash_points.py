"""The operations of a process's life, numbered: where it can be killed, and the ports that say so.

A process changes the world through three ports: the store (every write transaction), Redis (every
round of the gate, every message to the broker) and HTTP (every call). Nothing else that it does
outlives it, so dying between two of these operations is the same as dying right after the first one.

An operation has a name and a number among those of its name: `settle 2` is the second transaction
that settles. So it can be named before it happens, and stays what it was when two threads of a
process take turns in another order.
"""

import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NoReturn

import httpx
import orjson
import pytest
from redis.asyncio import Redis

from jobs.store import Database, Session
from workers.gate.script import Order, Reply, Script

STORE = f"{os.sep}jobs{os.sep}store{os.sep}"
NO_DUTIES = frozenset({"now", "wait"})
"""Functions of the store that do nothing to the rows; the second is called by the driver."""

FLUSHED = {"journals": "journal", "settlements": "settle", "unattempted": "decide"}
"""What a flush is called, by what it is handed."""


class Moment(StrEnum):
    """When a process dies: nothing of the operation was done, it is under way, or all of it is.

    Only a call can be under way: what the store and Redis do is done or not.
    """

    BEFORE = "before"
    WITHIN = "within"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Point:
    """A place to die: at a moment of the `nth` operation of this name, counted from 1."""

    name: str
    nth: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} {self.name} {self.nth}"


class Life:
    """Counts the operations of one process, writes each down, and ends the process at its point."""

    def __init__(self, trace: Path, ends_at: Point | None = None) -> None:
        """Write to `trace`, a line for each operation; None for `ends_at` dies a natural death."""
        self._trace = trace
        self._ends_at = ends_at
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, *names: str) -> "Operation":
        """Number an operation that is about to be done; a transaction may do several things."""
        with self._lock:
            self._seen.update(names)
            numbered = {name: self._seen[name] for name in names}
            with self._trace.open("ab") as trace:
                trace.write(orjson.dumps(numbered, option=orjson.OPT_APPEND_NEWLINE))
        operation = Operation(numbered, self._ends_at)
        operation.is_at(Moment.BEFORE)
        return operation


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a life, with its numbers by its names."""

    numbered: dict[str, int]
    ends_at: Point | None

    def ends(self, moment: Moment) -> bool:
        """Whether the process is to die now."""
        end = self.ends_at
        return end is not None and end.moment is moment and self.numbered.get(end.name) == end.nth

    def is_at(self, moment: Moment) -> None:
        """Die, if this is the point."""
        if self.ends(moment):
            die()


def die() -> NoReturn:
    """End this process as the kernel ends one that is out of memory: at once, no word said."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


class CountedDatabase(Database):
    """The store's port: each write transaction is an operation, named by what it does to the rows."""

    def __init__(self, database: Database, life: Life) -> None:
        super().__init__(database.engine)
        self._life = life

    @contextmanager
    def write(self) -> Iterator[Session]:
        """See `Database.write`; `before` is when all is written and nothing committed."""
        opened_by = _opener(sys._getframe(2)).co_name
        with super().write() as session:
            with _duties() as done:
                yield session
            operation = self._life.begin(*(done or [opened_by]))
        operation.is_at(Moment.AFTER)


def _opener(frame: FrameType | None) -> CodeType:
    """Return whose code opened the transaction."""
    assert frame is not None  # contextlib's own
    return frame.f_code


@contextmanager
def _duties() -> Iterator[list[str]]:
    """Gather the names of the store's functions that this thread calls from outside of the store."""
    done: list[str] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call" or frame.f_back is None:
            return
        code = frame.f_code
        if STORE not in code.co_filename or STORE in frame.f_back.f_code.co_filename:
            return
        for name in _names(frame):
            if name not in done and not name.startswith(("_", "<")) and name not in NO_DUTIES:
                done.append(name)

    sys.setprofile(note)
    try:
        yield done
    finally:
        sys.setprofile(None)


def _names(frame: FrameType) -> list[str]:
    """Return what a call of the store does, in a word or several."""
    if frame.f_code.co_name != "flush":
        return [frame.f_code.co_name]
    return [word for argument, word in FLUSHED.items() if frame.f_locals[argument]]


class CountedTransport(httpx.AsyncBaseTransport):
    """HTTP's port. A call is `within` as soon as the provider has read it."""

    def __init__(self, transport: httpx.AsyncBaseTransport, life: Life, provider_url: str) -> None:
        self._transport = transport
        self._life = life
        self._provider_url = provider_url

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        operation = self._life.begin("call")
        if operation.ends(Moment.WITHIN):
            await self._send_and_die(request)
        response = await self._transport.handle_async_request(request)
        operation.is_at(Moment.AFTER)
        return response

    async def aclose(self) -> None:
        """Close the transport behind."""
        await self._transport.aclose()

    async def _send_and_die(self, request: httpx.Request) -> NoReturn:
        async with httpx.AsyncClient(base_url=self._provider_url, trust_env=False) as client:

            async def calls() -> int:
                return int((await client.get("/_sim/ledger")).json()["requests"])

            before = await calls()
            sending = asyncio.create_task(self._transport.handle_async_request(request))
            while not sending.done() and await calls() == before:
                pass
            die()  # whatever came of it, nobody here has read it


def count_redis(patch: pytest.MonkeyPatch, life: Life) -> None:
    """Make operations of this process's rounds at the gate and of its messages."""

    class CountedScript(Script):
        async def run(self, order: Order) -> Reply:
            operation = life.begin("ask" if order.wishes else "tell")
            reply = await super().run(order)
            operation.is_at(Moment.AFTER)
            return reply

    def connect(redis: Redis) -> Script:
        return CountedScript(redis)

    patch.setattr("workers.gate.redis_gate.Script", connect)
    patch.setattr("jobs.feed.publish_slice", _counted_publishing(life))


def _counted_publishing(life: Life) -> Callable[..., None]:
    from jobs.queues import publish_slice  # noqa: PLC0415  (the true one, before it is replaced)

    def publish(*arguments: Any) -> None:
        operation = life.begin("publish")
        publish_slice(*arguments)
        operation.is_at(Moment.AFTER)

    return publish
