"""The batches beside which something is to be ready: read as the reckoning takes them."""

from collections.abc import Collection
from datetime import datetime

from jobs.quote.reach import Other
from jobs.states import WEIGHTS, Priority
from jobs.store import Session
from jobs.store.batches import timed


def others_at_work(
    session: Session, queues: Collection[str], until: datetime, besides: Collection[int] = ()
) -> list[Other]:
    """Return the batches at work in these queues before a moment, but for those of the ids `besides`."""
    return [
        Other(
            each.queue,
            each.jobs,
            Priority(each.priority) if each.priority in WEIGHTS else Priority.NORMAL,
            has_deadline=each.deadline is not None,
            left_s=each.left_s,
        )
        for each in timed.at_work(session, queues, until, besides)
    ]
