"""Feeding: slices from the rows to the broker, a bounded number at a time.

Called after every commit that makes work or room: by the API when a batch is accepted, by a worker
when it has dispatched a slice's last job, by the sweep for whatever was lost in between. A broker
that doesn't answer is no error here: the slices are marked, and the sweep publishes them again.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby
from operator import attrgetter

from celery import Celery

from jobs.errors import ServiceUnavailable
from jobs.queues import NATIVE_BATCH, SHARE_OUT, publish_hint, publish_slice, queue_length
from jobs.store import Database, now
from jobs.store.leases.broker_waits import (
    BROKER,
    forget_broker_wait,
    tell_broker_wait,
    waits_for_broker,
)
from jobs.store.leases.feeding import (
    FedSlice,
    fed_slices,
    feed,
    mark_fed,
    queues_with_waiting,
    stale_messages,
)
from jobs.store.native import lane_shares, native

log = logging.getLogger(__name__)

LOST_AFTER = timedelta(seconds=5)
"""A slice that was fed so long ago and is not leased may have lost its message."""


HINTS = 100
"""Native batches that one sweep tells of."""


class Feeder:
    """One process's hand in the feeding; its methods block on the database and the broker."""

    def __init__(self, database: Database, celery: Celery) -> None:
        self._database = database
        self._celery = celery

    def feed(self, queue: str) -> bool:
        """Fill the queue's window; return whether the broker took what there was."""
        with self._database.write() as session:
            fed = feed(session, queue)
        return self.publish(fed)

    def feed_all(self) -> None:
        """Fill the windows of all queues that have waiting slices; one that fails keeps no other.

        A broker that takes nothing is waited for once: leases expire behind this.
        """
        with self._database.read() as session:
            queues = queues_with_waiting(session)
        for queue in queues:
            try:
                if not self.feed(queue):
                    return
            except ServiceUnavailable:
                raise
            except Exception:  # the next sweep feeds it
                log.exception("feeding %s failed", queue)

    def publish_lost(self) -> None:
        """Publish slices again whose messages seem to be lost.

        While the broker holds as many messages of a queue as there are fed slices, none is: the
        workers are only busy. A message too many does nothing, as the slice's lease decides. What
        waits for the broker says so by then, or does no longer.
        """
        with self._database.read() as session:
            fed_before = now(session) - LOST_AFTER
            stale = stale_messages(session, fed_before)
            is_told = waits_for_broker(session)
        for queue, of_queue in groupby(stale, key=attrgetter("queue")):
            slices = list(of_queue)
            waiting = queue_length(self._celery, queue)
            if waiting is None:
                self._tell(f"{BROKER}does not answer, or takes no messages")
                return  # nor would it for another queue
            with self._database.read() as session:
                fed = fed_slices(session, queue)
            if waiting < fed:
                log.warning("publishing %d slices of %s again", len(slices), queue)
                with self._database.write() as session:
                    mark_fed(session, queue, fed_before)
                if not self.publish(slices):
                    return
        if is_told:
            with self._database.write() as session:
                forget_broker_wait(session, fed_before)

    def hint_lanes(self) -> None:
        """Tell workers what is due in the lanes: batches to be shared out, and native batches."""
        with self._database.read() as session:
            hints = [(SHARE_OUT, *each) for each in lane_shares.undecided(session)]
            hints += [(NATIVE_BATCH, *each) for each in native.due(session, limit=HINTS)]
        for task, queue, ref in hints:
            try:
                publish_hint(self._celery, task, queue, ref)
            except ServiceUnavailable as error:
                log.warning("the next sweep tells it again: %s", error)
                return

    def publish(self, slices: Iterable[FedSlice]) -> bool:
        """Publish slices that are marked as fed, and return whether the broker took them.

        Without it the sweep does it later, and the batches tell what they wait for.
        """
        try:
            for piece in slices:
                publish_slice(self._celery, piece.queue, piece.batch_ref, piece.slice_no)
        except ServiceUnavailable as error:
            log.warning("the sweep will publish them: %s", error)
            self._tell(error.message)
            return False
        return True

    def _tell(self, reason: str) -> None:
        with self._database.write() as session:
            tell_broker_wait(session, reason)
