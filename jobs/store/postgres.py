"""A connection to PostgreSQL that is given up when its server is silent for too long."""

from collections.abc import Generator
from typing import Any, Self, TypeVar

import psycopg

from jobs.store.patience import left_s

T = TypeVar("T")

SILENCE = "the server does not answer"


class PatientConnection(psycopg.Connection[Any]):
    """Waits no longer than this thread may; then it closes, so that nobody uses what is half done."""

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> Generator[Any, Any, Self]:
        """Connect as psycopg does, which asks ten times a second whether to go on.

        Its own `connect_timeout` is whole seconds, and two at least.
        """
        steps = super()._connect_gen(conninfo)
        try:
            wish = next(steps)
            while left_s() != 0:
                wish = steps.send((yield wish))
        except StopIteration as end:
            connection: Self = end.value
            return connection
        steps.close()
        raise psycopg.errors.ConnectionTimeout(SILENCE)

    def wait(
        self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None
    ) -> T:
        """Go through one exchange with the server.

        Raises:
            psycopg.OperationalError: it did not answer in time, and the connection is closed.
        """
        if timeout is not None or (left := left_s()) is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, left)
        except psycopg.OperationalError as error:
            if left_s() != 0:
                raise
            self.close()
            raise psycopg.errors.ConnectionTimeout(SILENCE) from error
