"""What the rows must say after every kill, and what must hold when all is done.

Totals are added up anew from the rows that they count. The provider's own account is the judge of
calls and money.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlmodel import select

from jobs.states import FINAL_BATCH_STATES, Outcome, ResultStatus, SliceState
from jobs.store import Database, Session
from jobs.tables import Attempt, Batch, Job, LedgerDay, Result, Slice, SpendDay

TOKENS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def lost_attempts(database: Database) -> int:
    """Return how many attempts are unknown, or will be if nobody is left to settle them."""
    with database.read() as session:
        made = session.exec(select(Attempt.outcome)).all()
    return sum(outcome in (None, Outcome.UNKNOWN) for outcome in made)


def books_balance(database: Database) -> None:
    """Assert that every total is the sum of its rows, and no budget overdrawn: at any moment."""
    with database.read() as session:
        for batch in session.exec(select(Batch)):
            assert batch.id is not None  # a stored row has its key
            _attempts_are_the_batchs(batch, _of(session, Attempt, batch.id))
            _results_are_the_batchs(batch, _of(session, Result, batch.id))
            done = [s for s in _of(session, Slice, batch.id) if s.state == SliceState.DONE]
            assert batch.done_slices == len(done), batch
        _days_are_the_attempts(session)


def everything_is_done(database: Database) -> None:
    """Assert that all batches have ended, each job with one result, and that nothing is held."""
    books_balance(database)
    with database.read() as session:
        for batch in session.exec(select(Batch)):
            assert batch.id is not None  # a stored row has its key
            assert batch.state in FINAL_BATCH_STATES, batch
            assert (batch.in_flight, batch.reserved_nanos) == (0, 0), batch
            jobs = {job.seq for job in _of(session, Job, batch.id)}
            assert jobs == set(range(batch.total_jobs))
            assert Counter(r.seq for r in _of(session, Result, batch.id)) == Counter(jobs)
            slices = _of(session, Slice, batch.id)
            assert len(slices) == batch.total_slices
            assert {(s.state, s.owner, s.lease_until) for s in slices} == {
                (SliceState.DONE, None, None)
            }
        assert all(day.reserved_nanos == 0 for day in session.exec(select(SpendDay)))


def calls_are_accounted_for(
    database: Database, calls: Sequence[dict[str, Any]], *, failures: int, kills: int
) -> None:
    """Assert that every call was journaled, and what it cost is in our books.

    Args:
        database: of which `everything_is_done`.
        calls: the provider's own account; the jobs of all batches have names of their own.
        failures: how many errors it answered on purpose.
        kills: how many processes have died.
    """
    calls_of: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for call in calls:
        calls_of[call["job_id"]].append(call)
    with database.read() as session:
        names = {(job.batch_id, job.seq): job.custom_id for job in session.exec(select(Job))}
        attempts_of = defaultdict(list)
        for made in session.exec(select(Attempt)):
            attempts_of[names[made.batch_id, made.seq]].append(made)
    assert set(calls_of) <= set(attempts_of), "somebody called without a journal"
    for name, attempts in attempts_of.items():
        calls_made = calls_of[name]
        answers = [call for call in calls_made if call["answered"]]
        good = [each for each in attempts if each.outcome == Outcome.SUCCEEDED]
        lost = [each for each in attempts if each.outcome == Outcome.UNKNOWN]
        assert len(calls_made) <= 1 + failures + kills, f"{name} was called too often"
        assert len(calls_made) <= len(attempts), f"{name} was called without a journal"
        assert len(good) <= 1, f"{name} was paid for twice"
        assert len(answers) - len(good) <= len(lost), f"an answer to {name} is nowhere"
        answered = [(call["cost_nanos"], call["output_tokens"]) for call in answers]
        for each in good:
            assert (each.cost_nanos, each.output_tokens) in answered, f"nobody answered {name} so"
        billed_nanos = sum(call["cost_nanos"] for call in calls_made)
        booked_nanos = sum(each.cost_nanos or 0 for each in attempts)
        assert billed_nanos <= booked_nanos, f"{name} cost more than we know"


def _of(session: Session, table: type[Any], batch_id: int) -> list[Any]:
    return list(session.exec(select(table).where(table.batch_id == batch_id)))


def _attempts_are_the_batchs(batch: Batch, attempts: Iterable[Attempt]) -> None:
    flying = [made for made in attempts if made.outcome is None]
    ended = [made for made in attempts if made.outcome is not None]
    unknown = [made for made in ended if made.outcome == Outcome.UNKNOWN]
    assert all(made.cost_nanos == made.reserved_nanos for made in unknown)
    assert batch.in_flight == len(flying), batch
    assert batch.unknown_attempts == len(unknown), batch
    assert batch.reserved_nanos == sum(made.reserved_nanos for made in flying)
    assert batch.spent_nanos == sum(made.cost_nanos or 0 for made in ended)
    for name in TOKENS:
        assert getattr(batch, name) == sum(getattr(made, name) or 0 for made in ended), name
    if batch.max_cost_nanos is not None:
        assert batch.spent_nanos + batch.reserved_nanos <= batch.max_cost_nanos
    numbers = defaultdict(list)
    for made in attempts:
        numbers[made.seq].append(made.n)
    assert all(sorted(of_job) == list(range(1, len(of_job) + 1)) for of_job in numbers.values())


def _results_are_the_batchs(batch: Batch, results: Sequence[Result]) -> None:
    by_status = Counter(result.status for result in results)
    assert {status: getattr(batch, status) for status in ResultStatus} == {
        status: by_status[status] for status in ResultStatus
    }
    assert sorted(r.position for r in results) == list(range(1, len(results) + 1))


def _days_are_the_attempts(session: Session) -> None:
    ledger: Counter[tuple[str, str]] = Counter()
    cost_nanos: Counter[tuple[str, str]] = Counter()
    for day in session.exec(select(LedgerDay)):
        ledger[day.model, day.outcome] += day.attempts
        cost_nanos[day.model, day.outcome] += day.cost_nanos
    made = list(session.exec(select(Attempt)))
    ended = [(each.model, each.outcome, each.cost_nanos or 0) for each in made if each.outcome]
    assert +ledger == Counter((model, outcome) for model, outcome, _ in ended)
    for key, nanos in cost_nanos.items():
        assert nanos == sum(cost for *of, cost in ended if tuple(of) == key)
    days = list(session.exec(select(SpendDay)))
    batches = list(session.exec(select(Batch)))
    assert sum(d.spent_nanos for d in days) == sum(b.spent_nanos for b in batches)
    assert sum(d.reserved_nanos for d in days) == sum(b.reserved_nanos for b in batches)
