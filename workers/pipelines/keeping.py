"""Keeping the claim of a duty that takes its time: a slow query, a large file that is sent at its end.

Nothing is written meanwhile that would renew it. Without this, two conductors would take a slow source
from each other again and again, and neither would come to its first row.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import LeaseLost, ServiceUnavailable
from jobs.store.runs import run_claims
from workers.pipelines.advancing import Turn

log = logging.getLogger(__name__)

RENEWED_EVERY_S = 4.0
"""A claim: several times before it runs out."""


@contextmanager
def kept(turn: Turn) -> Iterator[None]:
    """Renew a turn's claim in a thread for as long as the block takes; one that is lost stays lost."""
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(turn, done), name="claim", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()  # a renewal after the release would keep others from the duty


def _keep(turn: Turn, done: threading.Event) -> None:
    while not done.wait(RENEWED_EVERY_S):
        try:
            with turn.database.write() as session:
                run_claims.hold(session, turn.run_id, *turn.claim)
        except LeaseLost:
            return  # the duty's next write finds out
        except ServiceUnavailable as error:
            log.warning("run %s: its claim is not renewed: %s", turn.run.ref, error)
