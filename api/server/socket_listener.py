"""The server's side of a WebSocket: one of the connections that `api.server.connections` counts."""

import asyncio
import logging
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from api.server.connections import Connections, offer_admission

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
"""Of a client's message, which has some hundred."""


class SharedState(ServerState):
    """What the connections of a server share."""

    def __init__(self, listed: Connections) -> None:
        super().__init__()
        self.listed = listed


class SocketListener(WebSocketsSansIOProtocol):
    """A connection that became a WebSocket; to be given to uvicorn as its `ws`, by our `Server`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # uvicorn's own tells every connection with its query, in which there may be a secret.
        log.setLevel(logging.WARNING)
        self.logger = log
        assert isinstance(server_state, SharedState)
        self._listed = server_state.listed

    def connection_made(self, transport: BaseTransport) -> None:
        """Come in again, in the place that the request before had."""
        super().connection_made(transport)
        if not self._listed.arrive(self):
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Be forgotten."""
        self._listed.depart(self)
        super().connection_lost(exc)

    def handle_connect(self, event: Any) -> None:
        """Let the application say that the key is valid, as for a request."""
        super().handle_connect(event)
        if not self.close_sent:  # which a handshake is answered with that is none
            offer_admission(self.scope, self._admit)  # type: ignore[arg-type]  # uvicorn's own type of a scope

    def data_received(self, data: bytes) -> None:
        """End a connection whose handshake can't be read, which uvicorn leaves open."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.drop()

    async def send(self, message: Any) -> None:
        """Send what the application says; a refusal is an end of the handshake as good as any.

        uvicorn has it for none, and logs each as an error: strangers could fill the log.
        """
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    @property
    def is_sent(self) -> bool:
        """Whether everything that was said has left."""
        return self.transport.get_write_buffer_size() == 0

    def leave(self) -> None:
        """End, in order or at once: there is no answer to wait for."""
        self.drop()

    def drop(self) -> None:
        """End at once."""
        self.transport.abort()

    def _admit(self) -> None:
        self._listed.admit(self)
