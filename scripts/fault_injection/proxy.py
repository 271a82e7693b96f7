"""A link that can fail: a TCP proxy in front of a server, which is well until it is told otherwise."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scripts.launcher.ready import free_port

HOST = "127.0.0.1"
READ_BYTES = 64 * 1024
CLOSE_BY_RESET = struct.pack("ii", 1, 0)
DRIP_S = 0.05
"""Between two bytes that drip: an answer of 600 bytes takes half a minute."""


class Mode(StrEnum):
    """How a link behaves."""

    WELL = "well"
    DELAY = "delay"
    """Every piece of data comes late."""
    STALL = "stall"
    """Nothing passes, and nobody is told; what was sent passes when the link is well again."""
    MUTE = "mute"
    """Connections are accepted and read, and never answered; reset when the link is well again."""
    RESET = "reset"
    """Connections are reset as soon as something is sent on them."""
    TRUNCATE = "truncate"
    """Connections are closed after some bytes of the server's."""
    DRIP = "drip"
    """The server's bytes come one by one."""
    REFUSE = "refuse"
    """Nobody listens, and open connections are reset."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A mode with its figures: `delay_s` of `delay`, `after_bytes` of `truncate`."""

    mode: Mode = Mode.WELL
    delay_s: float = 0.0
    after_bytes: int = 0


WELL = Behaviour()


class Link:
    """Listens on a port of its own and passes on to a server what comes in, and back what it answers.

    `met` counts the connections that the present behaviour has done something to. Used on one loop.
    """

    def __init__(self, target_port: int) -> None:
        """Take a port; `open` listens on it. The target is on this machine too."""
        self.port = free_port()
        self.met = 0
        self._target_port = target_port
        self._behaviour = WELL
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen from now on."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=4096)

    async def close(self) -> None:
        """Listen no longer, and drop every connection."""
        self._stop_listening()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def behave(self, behaviour: Behaviour) -> None:
        """Behave so from now on, towards open connections too."""
        was_refusing = self._behaviour.mode is Mode.REFUSE
        self._behaviour, self.met = behaviour, 0
        self._changed.set()
        self._changed = asyncio.Event()
        if behaviour.mode is Mode.REFUSE:
            self.met = len(self._passing)
            await self.close()
        elif was_refusing:
            await self.open()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            await self._pass_on(_Stream(reader, writer))
        except (OSError, asyncio.CancelledError):
            _reset(writer)  # either side is gone, or we are to be
        finally:
            self._passing.discard(task)
            writer.close()

    async def _pass_on(self, client: "_Stream") -> None:
        server = _Stream(*await asyncio.open_connection(HOST, self._target_port))
        ways = [
            asyncio.ensure_future(self._carry(client, server, is_answer=False)),
            asyncio.ensure_future(self._carry(server, client, is_answer=True)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server.writer.close()

    async def _carry(self, source: "_Stream", target: "_Stream", *, is_answer: bool) -> None:
        """Carry one direction until its end; raises ConnectionResetError to have both reset."""
        truncated: Behaviour | None = None
        left_bytes = 0
        last: Behaviour | None = None
        while data := await source.reader.read(READ_BYTES):
            present = self._behaviour
            if present.mode is not Mode.WELL and present is not last:
                self.met += 1
            last = present
            if present.mode is Mode.TRUNCATE and is_answer:
                left_bytes = left_bytes if present is truncated else present.after_bytes
                truncated = present
                await target.send(data[:left_bytes])
                if len(data) > left_bytes:
                    return
                left_bytes -= len(data)
            else:
                await self._hand_over(data, target, present, is_answer=is_answer)

    async def _hand_over(
        self, data: bytes, target: "_Stream", present: Behaviour, *, is_answer: bool
    ) -> None:
        match present.mode:
            case Mode.STALL:
                while self._behaviour.mode is Mode.STALL:
                    await self._changed.wait()
            case Mode.MUTE:
                await self._changed.wait()
                raise ConnectionResetError
            case Mode.RESET | Mode.REFUSE:
                raise ConnectionResetError
            case Mode.DELAY:
                await asyncio.sleep(present.delay_s)
            case Mode.DRIP if is_answer:
                data = await self._drip(target, data)
            case _:
                pass
        await target.send(data)

    async def _drip(self, target: "_Stream", data: bytes) -> bytes:
        """Send byte by byte for as long as the link behaves so; return what is left then."""
        while len(data) > 1 and self._behaviour.mode is Mode.DRIP:
            await target.send(data[:1])
            data = data[1:]
            await asyncio.sleep(DRIP_S)
        return data


@dataclass(frozen=True, slots=True)
class _Stream:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_BY_RESET)
    writer.transport.abort()


@contextlib.asynccontextmanager
async def behaving(links: Sequence[Link], behaviour: Behaviour) -> AsyncIterator[None]:
    """Let links behave so until the end, then well again."""
    try:
        for link in links:
            await link.behave(behaviour)
        yield
    finally:
        for link in links:
            await link.behave(WELL)
