"""Whether a call may be made at all: its batch goes on, and every cap has room for its worst case.

How a budget is used to its end. A call is admitted if its worst case fits in what every cap has
left; one that doesn't fit keeps no other from being admitted. While calls of its batch are in
flight it waits for what they leave over. With none in flight the batch goes on for `LAST_ROUND`, in
which every job that a worker has open is asked for, the cheap ones as well; each that fits starts
the round anew. Then the batch pauses, remembering the smallest call that was refused, and is not
looked at again before there is room for that one (`budgets.reconsider`). So what stays unused is
less than the smallest worst case that was open at the end; jobs whose slices were not leased yet
are not searched for smaller ones, because finding none would cost as much as running them.

Live calls have no such round: somebody waits for each of them, and nothing is paused.
"""

from datetime import datetime, timedelta

from jobs.budget import Cap, sentence, without_room
from jobs.states import FED_BATCH_STATES, BatchState
from jobs.store.attempts.reports import Admission, Journal
from jobs.store.money.budgets import caps_of
from jobs.store.money.spending import Account
from jobs.store.money.tallies import Tally

LAST_ROUND = timedelta(seconds=3)
"""How long a batch that has nothing in flight looks for a call that still fits its budget. Its jobs
ask twice a second; one that waits longer for its pace has missed the round."""


def admit(tally: Tally, account: Account | None, wish: Journal, moment: datetime) -> Admission:
    """Reserve the money of an attempt if it may be made; the caller journals it then.

    Args:
        tally: of its batch.
        account: of its project, None if that has no cap.
        wish: the attempt, whose lease holds.
        moment: now.
    """
    if tally.state not in FED_BATCH_STATES:
        return Admission.RESTING
    if account is not None or tally.max_cost_nanos is not None:
        if wish.price is None:
            return Admission.UNPRICED
        used_nanos = tally.spent_nanos + tally.reserved_nanos
        caps = caps_of(tally.max_cost_nanos, used_nanos, account)
        if (cap := without_room(caps, wish.reserved_nanos)) is not None:
            return _refuse(tally, wish, cap, moment)
        tally.needed_nanos = tally.no_room_since = None
        if account is not None:
            account.reserve(wish.reserved_nanos)
    tally.in_flight += 1
    tally.reserved_nanos += wish.reserved_nanos
    return Admission.ADMITTED


def _refuse(tally: Tally, wish: Journal, cap: Cap, moment: datetime) -> Admission:
    """Let a call wait that `cap` has no room for; pause its batch after the last round."""
    if tally.is_live:
        waits = tally.reserved_nanos > 0
        return Admission.NO_ROOM_YET if waits else Admission.OVER_BUDGET
    smallest = min(wish.reserved_nanos, tally.needed_nanos or wish.reserved_nanos)
    tally.needed_nanos = smallest
    if tally.reserved_nanos > 0:
        return Admission.NO_ROOM_YET
    if tally.no_room_since is None:
        tally.no_room_since = moment
    if moment - tally.no_room_since < LAST_ROUND:
        return Admission.NO_ROOM_YET
    tally.state = BatchState.PAUSED
    tally.pause_cause = cap.cause
    tally.waiting_for = sentence(cap, smallest)
    return Admission.RESTING
