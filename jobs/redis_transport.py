"""Celery's transport for Redis, of which a lost connection can be closed, and which survives junk.

kombu closes a lost connection twice. The second time the channel no longer knows where the server
was, and asking for a new connection there raises an AttributeError, which nobody expects: the worker
ends. The same happens to a task that ends after its connection. Here both meet an error of the
connection, which Celery answers by connecting again.

What lies in a queue and is no message at all, kombu raises where nobody expects it either: one such
item would end a worker, and a handful the fleet. Here it is dropped with a line in the log.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis import ConnectionError as RedisConnectionError

log = logging.getLogger(__name__)

NO_MESSAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading an envelope raises that is none: not JSON, not text, without its parts."""


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

    def _brpop_read(self, **options: Any) -> Any:
        """Hand on what a queue had."""
        with _junk_dropped():
            return super()._brpop_read(**options)  # type: ignore[misc]  # its stub leaves it out

    def _receive_one(self, client: Any) -> Any:
        """Hand on what was published to all."""
        with _junk_dropped():
            return super()._receive_one(client)  # type: ignore[misc]  # its stub leaves it out

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


@contextmanager
def _junk_dropped() -> Iterator[None]:
    """Turn what is no message into "there was none", which is what kombu's loops go on after."""
    try:
        yield
    except NO_MESSAGE as error:
        log.warning("the broker holds something that is no message: dropped", exc_info=error)
        raise Empty from None


class Transport(kombu_redis.Transport):
    """Redis, and Valkey, over TCP, TLS or a socket."""

    Channel = Channel


def register() -> None:
    """Let addresses of a Redis mean this transport, in this process."""
    # By the name in the address: only so are `redis+socket://` addresses reached as well.
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
