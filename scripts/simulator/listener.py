"""The port: it listens, and can be as good as gone for a while."""

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

BACKLOG = 4096
"""A worker opens a thousand connections at once."""

Connect = Callable[[], asyncio.Protocol]


class Listener:
    """Listens on `host` and `port`; 0 is any free one. `connect` makes what serves a connection."""

    def __init__(self, host: str, port: int, connect: Connect) -> None:
        self._connect = connect
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Bound as long as we live, and never listened on: nobody else gets the port meanwhile, and
        # no client that is given it as its own can connect to itself.
        self._held = _bound(family, (host, port))
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._held.getsockname()[1])

    async def open(self) -> None:
        """Listen from now on."""
        ours = _bound(self._held.family, self._held.getsockname())
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=ours, backlog=BACKLOG)

    def close(self) -> None:
        """Listen no longer: who connects is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def end(self) -> None:
        """Close, and let the port go."""
        self.close()
        self._held.close()


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform != "linux":  # where a socket that doesn't listen is in nobody's way
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
