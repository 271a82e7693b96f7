"""Celery's transport for Redis, of which a lost connection can be closed.

kombu closes a lost connection twice. The second time the channel no longer knows where the server
was, and asking for a new connection there raises an AttributeError, which nobody expects: the worker
ends. The same happens to a task that ends after its connection. Here both meet an error of the
connection, which Celery answers by connecting again.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis import ConnectionError as RedisConnectionError


class Channel(kombu_redis.Channel):
    """A channel that knows when its connection is gone."""

    _borrower: Any = None

    @property
    def is_gone(self) -> bool:
        """Whether there is no server any more that this channel could ask."""
        return getattr(self.connection, "client", None) is None

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message, unless it went with its connection: the rows say what is done."""
        if not self.is_gone:
            super().basic_ack(delivery_tag, multiple)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Return a client; that which borrows its connections is kept, for making one takes 50 us."""
        if asynchronous:
            return super()._create_client(asynchronous)  # type: ignore[misc]  # its stub leaves it out
        pool = self.pool
        if self._borrower is None or self._borrower.connection_pool is not pool:
            self._borrower = super()._create_client()  # type: ignore[misc]
        return self._borrower

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.is_gone:
            raise RedisConnectionError("the connection of this channel is closed")
        return super()._get_pool(asynchronous)  # type: ignore[misc]  # its stub leaves it out


class Transport(kombu_redis.Transport):
    """Redis, and Valkey, over TCP, TLS or a socket."""

    Channel = Channel


def register() -> None:
    """Let addresses of a Redis mean this transport, in this process."""
    # By the name in the address: only so are `redis+socket://` addresses reached as well.
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
