"""The two writes around every call, in micro-batches: the journal before it, the settlement after.

One transaction, under the locks of the batches it concerns; what it does to them is in `books`. Doing
the same work twice (a commit whose answer was lost) changes nothing the second time.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from jobs.store.attempts.attempt_keys import KEY, AttemptKey, by_key
from jobs.store.attempts.reports import Admission, Correction, Journal, Settlement, Unattempted
from jobs.store.attempts.unknown import attempts_by_key
from jobs.store.engine.database import now
from jobs.store.leases.leases import Lease
from jobs.store.money.books import Books, key_of
from jobs.store.money.spending import lock_accounts
from jobs.store.money.tallies import lock_tallies
from jobs.tables import Attempt, Result, Slice

# Built once: putting a statement together costs more than running it.
_FENCES = select(col(Slice.no), col(Slice.fence)).where(
    col(Slice.batch_id) == bindparam("batch_id"),
    col(Slice.no).in_(bindparam("numbers", expanding=True)),
)


def flush(
    session: Session,
    journals: Sequence[Journal],
    settlements: Sequence[Settlement],
    unattempted: Sequence[Unattempted] = (),
    *,
    again: bool = False,
) -> list[Admission]:
    """Write it all, or nothing; return what became of each of `journals`, in order.

    Args:
        session: a write transaction.
        journals: attempts that want to be made.
        settlements: attempts that were made.
        unattempted: jobs that are decided without one.
        again: the same work was flushed before and it is not known whether that was committed.
    """
    leases = {made.journal.lease for made in settlements}
    leases.update(wish.lease for wish in journals)
    leases.update(job.lease for job in unattempted)
    tallies = lock_tallies(session, {lease.batch_id for lease in leases})
    held = _held(session, leases)
    moment = now(session)
    accounts = lock_accounts(session, {lease.project_id for lease in leases}, moment)
    books = Books(session, tallies, moment, accounts)
    books.find_days(settlements)
    written = _written(session, journals, settlements) if again else {}
    for made in settlements:
        if made.journal.lease not in held:
            books.correct(made)
        elif written.get(key_of(made.journal)) is None:
            books.settle(made)
    decided = _decided(session, unattempted) if again else set()
    for job in unattempted:
        if job.lease in held and (job.lease.batch_id, job.seq) not in decided:
            books.keep(job.lease.batch_id, job.seq, None, job.result)
    admissions = [
        Admission.ADMITTED
        if wish.lease in held and key_of(wish) in written
        else books.admit(wish, wish.lease in held)
        for wish in journals
    ]
    books.write()
    return admissions


def reconcile(
    session: Session, batch_id: int, project_id: int, corrections: Sequence[Correction]
) -> int:
    """Book what a provider's account tells of a batch's attempts, as a late answer is booked.

    An attempt whose use is known by now is left alone, so doing it twice changes nothing. No result
    changes, and no job runs again.

    Args:
        session: a write transaction; the batch's lock is taken.
        batch_id: the batch.
        project_id: whose it is.
        corrections: some hundred at most, of different attempts.

    Returns:
        How many attempts were corrected.
    """
    tallies = lock_tallies(session, [batch_id])
    moment = now(session)
    books = Books(session, tallies, moment, lock_accounts(session, [project_id], moment))
    found = attempts_by_key(session, [(batch_id, made.seq, made.n) for made in corrections])
    corrected = sum(
        books.reconcile(project_id, found[batch_id, made.seq, made.n], made) for made in corrections
    )
    books.write()
    return corrected


def _held(session: Session, leases: Iterable[Lease]) -> set[Lease]:
    """Return those leases whose fence is still theirs; the batches' locks keep it so."""
    wanted: dict[int, dict[int, list[Lease]]] = defaultdict(lambda: defaultdict(list))
    for lease in leases:
        wanted[lease.batch_id][lease.slice_no].append(lease)
    held: set[Lease] = set()
    for batch_id, by_number in wanted.items():
        rows = session.connection().execute(
            _FENCES, {"batch_id": batch_id, "numbers": list(by_number)}
        )
        for number, fence in rows:
            held.update(lease for lease in by_number[number] if lease.fence == fence)
    return held


def _written(
    session: Session, journals: Sequence[Journal], settlements: Sequence[Settlement]
) -> dict[AttemptKey, str | None]:
    """Return the outcomes of those attempts that stand in the database already."""
    keys = [key_of(wish) for wish in journals] + [key_of(made.journal) for made in settlements]
    found: dict[AttemptKey, str | None] = {}
    for are_those in by_key(keys):
        rows = session.connection().execute(select(*KEY, col(Attempt.outcome)).where(are_those))
        found.update({(batch_id, seq, n): outcome for batch_id, seq, n, outcome in rows})
    return found


def _decided(session: Session, unattempted: Sequence[Unattempted]) -> set[tuple[int, int]]:
    """Return those jobs that have a result already."""
    return {
        (job.lease.batch_id, job.seq)
        for job in unattempted
        if session.get(Result, (job.lease.batch_id, job.seq)) is not None
    }
