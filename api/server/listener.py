"""The server's side of a connection, where uvicorn's own leaves something open.

It bounds a head that never ends, refuses a target that names another host, answers what is no HTTP
with a problem document like everything else, and does with connections what `api.server.connections` says.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from starlette.responses import JSONResponse
from uvicorn import Config
from uvicorn import Server as UvicornServer
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from api.errors import problem
from api.headers import TOLD
from api.server.connections import Connections, offer_admission
from api.server.front_door import (
    MAX_HEADERS_BYTES,
    headers_too_large,
    invalid_host,
    request_timeout,
    too_many_connections,
    uri_too_long,
)
from api.server.socket_listener import SharedState

MAX_TARGET_BYTES = 60 * 1024
"""Path and query: a submission's defaults, a schema among them, stand in the query. The parser that
cuts it up takes a little more."""

MAX_HEAD_BYTES = MAX_TARGET_BYTES + 2 * MAX_HEADERS_BYTES
"""Of a head that isn't complete yet. What is complete is judged by the front door."""


GONE_PEER = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A peer whose machine is gone sends nothing any more, and nothing tells: after two minutes of silence
its system is asked whether it is there. A silent upload that has a key lasts as long as it likes."""


GOES_ON_S = 5.0
"""How long requests may go on at the end: uploads end in time, who watches events connects again."""

LAST_WORDS_S = 1.0
"""For the end of a live call's answer to be read."""


class Server(UvicornServer):
    """A server that knows how long, and how many; to be given a `Config` with `http=Listener`.

    At its end `let_go` dismisses those who would stay until their batches end, and `drained` returns
    when the live calls are over, which may take longer than other requests may.
    """

    def __init__(
        self,
        config: Config,
        connections: Connections,
        let_go: Callable[[], None],
        drained: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(config)
        self._let_go = let_go
        self._drained = drained
        self.server_state = self._state = SharedState(connections)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order: listeners, then what takes its time, then whoever doesn't read or write."""
        self._let_go()
        dropping = asyncio.create_task(self._drop_late())
        try:
            await super().shutdown(sockets)
        finally:
            dropping.cancel()

    async def _drop_late(self) -> None:
        draining = None if self._drained is None else asyncio.ensure_future(self._drained())
        await asyncio.sleep(GOES_ON_S)
        if draining is not None:
            await draining
        await asyncio.sleep(LAST_WORDS_S)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections once a second; uvicorn ticks ten times as often."""
        if counter % 10 == 0:
            self._state.listed.tick()
        return await super().on_tick(counter)


class Listener(HttpToolsProtocol):
    """A connection; to be given to uvicorn as its `http`, by a `Server`."""

    _head_bytes = 0
    _is_in_head = False
    _is_in_message = False
    _refusal: JSONResponse | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(server_state, SharedState)
        self._listed = server_state.listed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn does
        """Come in, or be turned away."""
        super().connection_made(transport)
        _keep_alive(transport)
        if not self._listed.arrive(self):
            self._answer(too_many_connections())

    def connection_lost(self, exc: Exception | None) -> None:
        """Be forgotten."""
        self._listed.depart(self)
        super().connection_lost(exc)

    @property
    def is_sent(self) -> bool:
        """Whether everything that was answered has left."""
        return self.transport.get_write_buffer_size() == 0

    def leave(self) -> None:
        """End in order, or at once if that was asked before or the answer isn't read."""
        # None before the first request, of which uvicorn's annotation doesn't tell.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if self.transport.is_closing() or not self.is_sent:
            self.drop()
        elif self._is_in_head and (cycle is None or cycle.response_complete):
            self._answer(request_timeout())
        else:
            self.transport.close()

    def drop(self) -> None:
        """End at once."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and end a connection whose head doesn't end."""
        if self.transport.is_closing():
            return
        self._listed.begin(self)
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._answer(headers_too_large())

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._is_in_message = True
        offer_admission(self.scope, self._admit)  # type: ignore[arg-type]  # uvicorn's own type of a scope

    def on_message_complete(self) -> None:
        """Note the end of a body; its answer may have been quicker."""
        super().on_message_complete()
        self._is_in_message = False
        # None where a WebSocket begins, of which uvicorn's annotation doesn't tell.
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and cycle.response_complete and self._listed.is_admitted(self):
            self._listed.rest(self)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or go on with one that is here already."""
        goes_on = bool(self.pipeline)
        super().on_response_complete()
        if goes_on or not self._listed.is_admitted(self):
            self._listed.estrange(self)
        elif not self._is_in_message:
            self._listed.rest(self)

    def _admit(self) -> None:
        self._listed.admit(self)

    def on_headers_complete(self) -> None:
        """Look at the target before it is cut up: its host would be forgotten then."""
        self._is_in_head = False
        if len(self.url) > MAX_TARGET_BYTES:
            self._refusal = uri_too_long(MAX_TARGET_BYTES)
        elif not self.url.startswith(b"/") and self.url != b"*":
            self._refusal = invalid_host()
        if self._refusal is not None:
            raise ValueError("refused")  # the parser stops, and `send_400_response` answers
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the other protocol, which comes in as a new one."""
        self._listed.depart(self)
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be parsed."""
        self._answer(self._refusal or problem(HTTPStatus.BAD_REQUEST, "invalid_http", msg))

    def _answer(self, response: JSONResponse) -> None:
        response.headers.update({**TOLD, "connection": "close"})
        head = [*self.server_state.default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in head]
        status_line = STATUS_LINE[response.status_code]
        self.transport.write(b"".join([status_line, *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()


def _keep_alive(transport: asyncio.Transport) -> None:
    connected: socket.socket = transport.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in GONE_PEER.items():
        if (option := getattr(socket, name, None)) is not None:  # not everywhere
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
