"""A connection to PostgreSQL that is given up when its server is silent for too long."""

import time
from collections.abc import Generator
from typing import Any, Self, TypeVar

import psycopg

from jobs.store.engine.patience import give_up, left_s, look_every_s, until

T = TypeVar("T")

SILENCE = "the server does not answer"


class PatientConnection(psycopg.Connection[Any]):
    """Waits no longer than this thread may; then it closes, so that nobody uses what is half done."""

    _address: str

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
            connection._address = conninfo
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
            return super().wait(self._watched(gen), interval, left)
        except psycopg.OperationalError as error:
            if left_s() != 0:
                raise
            self.close()
            raise psycopg.errors.ConnectionTimeout(SILENCE) from error

    def _watched(self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """Return the same exchange, in which it is looked now and then whether the server is there."""
        every_s = look_every_s()
        return steps if every_s is None else self._looking(steps, every_s)

    def _looking(self, steps: Generator[Any, Any, T], every_s: float) -> Generator[Any, Any, T]:
        look_at_s = time.monotonic() + every_s
        try:
            wish = next(steps)
            while True:
                ready = yield wish
                if not ready and time.monotonic() >= look_at_s:
                    if not self._answers_others(every_s):
                        break
                    look_at_s = time.monotonic() + every_s
                wish = steps.send(ready)
        except StopIteration as end:
            reply: T = end.value
            return reply
        steps.close()
        give_up()
        raise psycopg.errors.ConnectionTimeout(SILENCE)

    def _answers_others(self, within_s: float) -> bool:
        """Whether the server says anything to a new connection, be it no."""
        try:
            with until(time.monotonic() + within_s):
                type(self).connect(self._address).close()
        except psycopg.errors.ConnectionTimeout:
            return False
        except psycopg.OperationalError:
            return True
        return True
