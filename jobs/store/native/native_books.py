"""The two writes around a native batch: its lines are journaled before it is sent, and settled as it ends.

As those of live calls (`settlement`), but under the native batch's claim, and done twice they change nothing.
"""

from collections.abc import Sequence

from sqlmodel import Session

from jobs.store.attempts.reports import Admission, Journal, Settlement, Unattempted
from jobs.store.batches import batches
from jobs.store.money.settlement import flush
from jobs.store.native.native import Native, require_claim
from jobs.tables import NativeBatch


class NotAdmitted(Exception):
    """A line may not be sent; says what the journal said. Nothing of its transaction is written."""

    def __init__(self, admission: Admission) -> None:
        super().__init__(admission)
        self.admission = admission


def journal(session: Session, of: Native, lines: Sequence[Journal]) -> None:
    """Journal lines of a native batch, all of them or none.

    Raises:
        NotAdmitted: one of them may not be sent; the transaction must not be committed.
        LeaseLost: the native batch's claim is not the caller's any more.
    """
    batches.lock(session, of.batch_id)
    require_claim(session, of)
    for admission in flush(session, lines, [], again=True):
        if admission is not Admission.ADMITTED:
            raise NotAdmitted(admission)


def settle(
    session: Session,
    of: Native,
    settlements: Sequence[Settlement],
    unattempted: Sequence[Unattempted] = (),
    *,
    answered: int = 0,
    unexpected: int = 0,
) -> None:
    """Settle lines of a native batch, and count what its results held.

    Of a line whose lease is void by now no result changes, but what it cost is booked.

    Raises:
        LeaseLost: the native batch's claim is not the caller's any more; nothing was changed.
    """
    batches.lock(session, of.batch_id)
    require_claim(session, of)
    if settlements or unattempted:
        flush(session, [], settlements, unattempted, again=True)
    row = session.get(NativeBatch, of.id, populate_existing=True)
    assert row is not None  # it is claimed
    row.answered += answered
    row.unexpected += unexpected
    session.add(row)
