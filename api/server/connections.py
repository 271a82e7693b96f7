"""Who is connected, and who has to leave: strangers that take too long, and the oldest of too many.

A connection is a stranger's until a valid key has come over it, and again after that request. What
has a key is left alone, however long its upload or its answer takes.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

from starlette.types import Scope

log = logging.getLogger(__name__)

REQUEST_S = 15.0
"""How long a connection may be open, or open again after an answer, until a request with a valid key
is on it. A head is a packet or two; it is also the end of an answer that nobody reads."""

MOST = 4000
"""Connections of one process at once. Each has heads of 124 KB at most, and some 10 KB of our own."""

CONNECTIONS_PERCENT = 50
"""Of the files that a process may open. A burst of newcomers is accepted before it is counted, and
the database, the log and the packages' own files need the rest."""

BACKLOG_PERCENT = 25
"""Of the same, that may wait to be accepted at once: the burst."""

TOLD_EVERY_S = 60.0

FEW = 20
"""Too slow within that time is nothing to tell: browsers connect in advance, probes go away."""

_ADMIT = "tidemill.admit"


class Connection(Protocol):
    """What is known of a connection here."""

    @property
    def is_sent(self) -> bool:
        """Whether everything that was answered has left."""

    def leave(self) -> None:
        """End in order, or at once if that was asked before or its answer isn't read."""

    def drop(self) -> None:
        """End at once."""


class Connections:
    """The connections of one process. Used by its one event loop."""

    def __init__(
        self,
        most: int = MOST,
        request_s: float = REQUEST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._request_s = request_s
        self._clock = clock
        # In the order in which they came to stand there.
        self._strangers: dict[Connection, float] = {}
        self._idle: dict[Connection, None] = {}
        self.admitted: set[Connection] = set()
        self._slow = self._pushed_out = self._turned_away = 0
        self._counted_since_s = clock()
        self._quiet_until_s = self._counted_since_s

    def __len__(self) -> int:
        """How many there are."""
        return len(self._strangers) + len(self._idle) + len(self.admitted)

    def arrive(self, connection: Connection) -> bool:
        """Take a new connection in, the oldest stranger's place if there is no other.

        After the strangers' it is the place of those that were answered and ask nothing. Returns
        False if all others are in use.
        """
        if len(self) >= self.most and not self._make_room():
            self._turned_away += 1
            return False
        self._strangers[connection] = self._clock()
        return True

    def begin(self, connection: Connection) -> None:
        """Note that another request begins on a connection that was idle; else nothing."""
        if connection in self._idle:
            self.estrange(connection)

    def estrange(self, connection: Connection) -> None:
        """Give a connection as much time as a new one has. Harmless for one that has left."""
        if self._forget(connection):
            self._strangers[connection] = self._clock()

    def admit(self, connection: Connection) -> None:
        """Leave a connection alone: a valid key has come."""
        if self._forget(connection):
            self.admitted.add(connection)

    def is_admitted(self, connection: Connection) -> bool:
        """Whether a request with a valid key is on it."""
        return connection in self.admitted

    def rest(self, connection: Connection) -> None:
        """Note that an admitted request is over, and no other has begun."""
        if self._forget(connection):
            self._idle[connection] = None

    def depart(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._forget(connection)

    def tick(self) -> None:
        """End the strangers whose time is up, and tell of it; to be called about once a second."""
        now_s = self._clock()
        for connection, since_s in list(self._strangers.items()):
            if now_s < since_s + self._request_s:
                break
            self._slow += 1
            self.estrange(connection)  # it is looked at again, should it not go
            connection.leave()
        self._tell(now_s)

    def _make_room(self) -> bool:
        oldest = next(iter(self._strangers), None)
        if oldest is None:
            oldest = next((idle for idle in self._idle if idle.is_sent), None)
        if oldest is None:
            return False
        self._pushed_out += 1
        self._forget(oldest)
        oldest.drop()
        return True

    def _forget(self, connection: Connection) -> bool:
        if connection in self.admitted:
            self.admitted.remove(connection)
            return True
        if connection in self._idle:
            del self._idle[connection]
            return True
        return self._strangers.pop(connection, None) is not None

    def _tell(self, now_s: float) -> None:
        if now_s < self._quiet_until_s:
            return
        if self._pushed_out or self._turned_away or self._slow > FEW:
            log.warning(
                "connections without a valid key: %d ended after %g s, %d to make room for others; "
                "%d turned away; %d of at most %d are open",
                self._slow,
                self._request_s,
                self._pushed_out,
                self._turned_away,
                len(self),
                self.most,
            )
            self._quiet_until_s = now_s + TOLD_EVERY_S
        elif now_s < self._counted_since_s + TOLD_EVERY_S:
            return
        self._counted_since_s = now_s
        self._slow = self._pushed_out = self._turned_away = 0


def most_connections(open_files: int) -> int:
    """Return how many connections a process takes that may open so many files."""
    return min(MOST, open_files * CONNECTIONS_PERCENT // 100)


def longest_backlog(open_files: int) -> int:
    """Return how many connections may wait to be accepted by such a process."""
    return min(2048, open_files * BACKLOG_PERCENT // 100)


def offer_admission(scope: Scope, admit: Callable[[], None]) -> None:
    """Let the application say when a request's key was found valid."""
    scope["state"][_ADMIT] = admit


def admit(scope: Scope) -> None:
    """Say that the key of a request is valid; harmless where the server didn't ask."""
    if (told := scope.get("state", {}).get(_ADMIT)) is not None:
        told()
