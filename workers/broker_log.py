"""What Celery's log says of a broker that went away, in one line instead of a page for each slice.

Every open slice finds out for itself that its message can't be acknowledged any more. That costs
nothing: the broker hands the message out again, and its lease keeps the slice from running twice.
"""

import logging
import time
from collections.abc import Callable

LOGGER = "celery.worker.request"
CONSUMER_LOGGER = "celery.worker.consumer.consumer"

_TRIES = "consumer: Cannot connect to "
_BEGINNINGS = ("Couldn't ack ", "Couldn't reject ")

REPEAT_S = 60.0
"""After so long it is said again: the broker went away once more."""


class LostAcks(logging.Filter):
    """Lets the first of those lines through, shortened. `clock` is steady and in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told_at: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be logged."""
        if not str(record.msg).startswith(_BEGINNINGS):
            return True
        now = self._clock()
        if self._told_at is not None and now < self._told_at + REPEAT_S:
            return False
        self._told_at = now
        cause = record.exc_info[1] if record.exc_info else None
        record.msg = (
            "the broker is away: messages of slices that end now can't be acknowledged, and will be "
            "handed out again in vain (%s)"
        )
        record.args = (repr(cause),)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


class Tries(logging.Filter):
    """Lets one line a minute through of a broker that is looked for all the while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told_at: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be logged."""
        if not str(record.msg).startswith(_TRIES):
            return True
        now = self._clock()
        if self._told_at is not None and now < self._told_at + REPEAT_S:
            return False
        self._told_at = now
        where, reason, *_ = record.args if isinstance(record.args, tuple) else ("", "")
        record.msg, record.args = "the broker is away (%s: %s); it is looked for", (where, reason)
        return True


def quieten() -> None:
    """Have Celery's own log of this process speak so."""
    logging.getLogger(LOGGER).addFilter(LostAcks())
    logging.getLogger(CONSUMER_LOGGER).addFilter(Tries())
