"""One client's connection: HTTP/1.1, one request at a time, and every way to break it.

Written to the bare socket where possible, because the ledger must know what the kernel took.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import cast

import httptools

from scripts.simulator.batches.errands import Errand, run_errand
from scripts.simulator.control import ROWS_TYPE, control, stream
from scripts.simulator.provider import Exchange, Provider
from scripts.simulator.replies import Reply
from scripts.simulator.requests import Request
from scripts.simulator.routes import find_route
from scripts.simulator.troubles import Trouble

MAX_BODY_BYTES = 600 * 1024 * 1024
"""More than any provider takes as a file."""
KEY_HEADERS = frozenset({b"authorization", b"x-api-key", b"x-goog-api-key"})
VERSION_HEADER = b"anthropic-version"
REASONS = {status.value: status.phrase for status in HTTPStatus}
WHOLE = frozenset({Trouble.CLOSE, Trouble.HTML, Trouble.BADJSON, Trouble.DRIP})
"""Troubles that happen to a reply in one piece, also where events were asked for."""

CLOSE_BY_RESET = struct.pack("ii", 1, 0)


def head(reply: Reply, framing: str, *, keep_alive: bool) -> bytes:
    """Return the status line and headers, ending in an empty line."""
    extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    closing = "" if keep_alive else "connection: close\r\n"
    return (
        f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Overloaded')}\r\n"
        f"content-type: {reply.content_type}\r\n{framing}\r\n{extra}{closing}\r\n"
    ).encode("latin-1")


def render(reply: Reply, *, keep_alive: bool) -> bytes:
    """Return a whole reply."""
    framing = f"content-length: {len(reply.body)}"
    return head(reply, framing, keep_alive=keep_alive) + reply.body


class Connection(asyncio.Protocol):
    """Reads requests and answers them in order; while it is open, it is one of `open_ones`.

    The methods `on_…` are httptools' interface, the other public ones asyncio's.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, provider: Provider, open_ones: "set[Connection]"
    ) -> None:
        self._loop = loop
        self._provider = provider
        self._open_ones = open_ones
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._is_busy = False
        self._exchange: Exchange | Errand | None = None
        self._status = 0
        self._timer: asyncio.TimerHandle | None = None
        self._when_sent: Callable[[], object] | None = None
        self._keep_alive = True

    def on_message_begin(self) -> None:
        """Start reading a request."""
        self._url = b""
        self._key = b""
        self._version = b""
        self._headers: dict[str, str] = {}
        self._is_call: bool | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of a live call, two of them matter."""
        name = name.lower()
        if self._is_call is None:
            path = self._url.partition(b"?")[0].decode("latin-1")
            self._is_call = self._parser.get_method() == b"POST" and find_route(path) is not None
        if not self._is_call:
            self._headers[name.decode("latin-1")] = value.decode("latin-1")
        if name in KEY_HEADERS:
            self._key = value
        elif name == VERSION_HEADER:
            self._version = value

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._transport.abort()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or keep it until the one before is answered."""
        path, _, query = self._url.partition(b"?")
        request = Request(
            self._parser.get_method().decode("ascii"),
            path.decode("latin-1"),
            self._key.decode("latin-1").removeprefix("Bearer "),
            self._version.decode("latin-1"),
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            self._parser.should_keep_alive(),
            query.decode("latin-1"),
            self._headers,
        )
        if self._is_busy:
            self._waiting.append(request)
        else:
            self._begin(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the connection; without a buffer limit, a drained buffer would not be told."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._descriptor = self._socket.fileno()
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        """Read; what is not HTTP ends the connection, and so does a fault of our own, loudly."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            self._transport.abort()
            raise
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Enter what the client will never read."""
        self._open_ones.discard(self)
        self._waiting.clear()
        self._when_sent = None
        if self._timer is not None:
            self._timer.cancel()
        self._end_exchange(whole=False)

    def resume_writing(self) -> None:
        """Go on: the kernel has taken everything."""
        when_sent, self._when_sent = self._when_sent, None
        if when_sent is not None:
            when_sent()

    def reset(self) -> None:
        """End the connection as a machine does that is gone."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, CLOSE_BY_RESET)
        self._transport.abort()

    def _begin(self, request: Request) -> None:
        self._is_busy = True
        self._keep_alive = request.keep_alive
        route = find_route(request.path) if request.method == "POST" else None
        exchange: Exchange | Errand | None
        if route is None:
            exchange = run_errand(self._provider.batches, request)
        else:
            exchange = self._provider.begin(route, request.key, request.version, request.body)
        if exchange is None:
            self._control(request)
            return
        self._exchange = exchange
        self._status = 0
        if exchange.trouble is Trouble.RESET:
            self.reset()
        elif exchange.trouble is Trouble.HANG:
            return
        elif exchange.is_streamed and exchange.trouble not in WHOLE:
            self._stream(exchange)
        elif exchange.delay_s > 0:
            self._timer = self._loop.call_later(exchange.delay_s, self._answer, exchange)
        else:
            self._answer(exchange)

    def _answer(self, exchange: Exchange | Errand) -> None:
        self._timer = None
        if exchange.trouble is Trouble.CLOSE:
            self._transport.close()
            return
        reply = exchange.reply()
        data = render(reply, keep_alive=self._keep_alive)
        self._status = reply.status
        match exchange.trouble:
            case Trouble.DRIP if exchange.fault is not None:
                self._drip(iter(data), exchange.fault.delay_s)
            case Trouble.CUT:
                self._keep_alive = False
                self._send(data[: len(data) - len(reply.body) // 2], self._finish)
            case _:
                self._send(data, self._finish)

    def _stream(self, exchange: Exchange | Errand) -> None:
        """Send an answer in events, evenly over the time that it takes; a cut one ends in the middle."""
        events = exchange.events()
        is_cut = exchange.trouble is Trouble.CUT
        left = iter(events[: len(events) // 2] if is_cut else events)
        gap_s = exchange.delay_s / len(events)
        reply = exchange.reply()
        self._status = reply.status

        def next_event() -> None:
            self._timer = None
            event = next(left, None)
            if event is not None:
                self._send(b"%x\r\n%b\r\n" % (len(event), event), wait)
            elif is_cut:
                self._transport.close()
            else:
                self._send(b"0\r\n\r\n", self._finish)

        def wait() -> None:
            self._timer = self._loop.call_later(gap_s, next_event)

        self._send(head(reply, "transfer-encoding: chunked", keep_alive=self._keep_alive), wait)

    def _drip(self, left: Iterator[int], delay_s: float) -> None:
        byte = next(left, None)
        if byte is None:
            self._finish()
            return

        def go_on() -> None:
            self._timer = self._loop.call_later(delay_s, self._drip, left, delay_s)

        self._send(bytes((byte,)), go_on)

    def _control(self, request: Request) -> None:
        pieces = stream(self._provider, request.method, request.path)
        if pieces is None:
            reply = control(self._provider, request.method, request.path, request.body)
            self._send(render(reply, keep_alive=self._keep_alive), self._finish)
            return
        start = head(
            Reply(200, {}, ROWS_TYPE, b""),
            "transfer-encoding: chunked",
            keep_alive=self._keep_alive,
        )
        self._send(start, partial(self._send_pieces, pieces))

    def _send_pieces(self, pieces: Iterator[bytes]) -> None:
        """Send a piece per turn of the loop, so that others are answered meanwhile."""
        piece = next(pieces, None)
        if piece is None:
            self._send(b"0\r\n\r\n", self._finish)
            return
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._send(chunk, partial(self._loop.call_soon, self._send_pieces, pieces))

    def _send(self, data: bytes, when_sent: Callable[[], object]) -> None:
        """Send, and call `when_sent` once the kernel has taken it all: mostly at once."""
        if self._transport.is_closing():
            return
        try:
            sent = os.write(self._descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._transport.abort()
            return
        if sent < len(data):
            self._transport.write(data[sent:])
            if self._transport.get_write_buffer_size() > 0:
                self._when_sent = when_sent
                return
        when_sent()

    def _finish(self) -> None:
        """The reply is out: settle it and take the next request."""
        self._end_exchange(whole=True)
        if not self._keep_alive:
            self._transport.close()
        elif self._waiting:
            self._loop.call_soon(self._begin_next)
        else:
            self._is_busy = False

    def _begin_next(self) -> None:
        with contextlib.suppress(IndexError):  # emptied when the connection was lost
            self._begin(self._waiting.popleft())

    def _end_exchange(self, *, whole: bool) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end(self._status, whole=whole)
