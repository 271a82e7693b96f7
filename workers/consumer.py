"""Celery's consumer of messages, but that it looks for a lost broker every other second.

Its own way is to wait two seconds longer each time, up to half a minute: after an outage of some minutes a
worker that has nothing else to do would take slices that late.
"""

from functools import partial
from typing import Any

from celery.worker.consumer import Consumer

FIRST_S = 0.5
STEP_S = 0.5
LONGEST_S = 2.0


class PromptConsumer(Consumer):
    """To be given to a worker as its `worker_consumer`."""

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however often that is tried in vain."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_S,
            interval_step=STEP_S,
            interval_max=LONGEST_S,
        )
        return super().ensure_connected(conn)
