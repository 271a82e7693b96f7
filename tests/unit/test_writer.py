"""The writer holds what it was given until it is committed, once, whatever the database does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from jobs.errors import ServiceUnavailable
from jobs.exchange import Usage
from jobs.states import BatchState, Outcome, ResultStatus
from jobs.store import Database, Session, open_database
from jobs.store.attempts.reports import Admission, Journal, ResultDraft, Settlement, Unattempted
from jobs.store.batches import batches
from jobs.store.leases.leases import Lease
from jobs.tables import Attempt, Result
from tests.support.eventually import eventually_async
from tests.support.rows import batch_of, journal_of, lease_of, seed_batch
from tests.support.templates import copy_sqlite
from workers import writer as writer_module
from workers.writer import ROWS_PER_FLUSH, Writer

JOBS = 2_500
TOO_MANY_NANOS = 2**70
"""More than a column holds: the database will never take such a row."""


class Moody(Database):
    """A database that fails as it is told, before the work of a transaction or after its commit."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner.engine)
        self.failures_before = 0
        self.failures_after = 0
        self.transactions = 0

    @contextmanager
    def write(self) -> Iterator[Session]:
        if self.failures_before > 0:
            self.failures_before -= 1
            raise ServiceUnavailable
        with super().write() as session:
            yield session
        self.transactions += 1
        if self.failures_after > 0:
            self.failures_after -= 1
            raise ServiceUnavailable


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Moody]:
    database = Moody(open_database(copy_sqlite(tmp_path / "tidemill.db")))
    yield database
    database.close()


@pytest.fixture
async def writer(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Writer]:
    monkeypatch.setattr(writer_module, "RETRY_S", (0.001, 0.01))
    writer = Writer(database)
    yield writer
    async with asyncio.timeout(10.0):
        await writer.close()


@pytest.fixture
def batch_ref(database: Moody) -> str:
    ref = seed_batch(database, jobs=JOBS, slice_size=JOBS)
    database.transactions = 0
    return ref


@pytest.fixture
def lease(database: Database, batch_ref: str) -> Lease:
    return lease_of(database, batch_ref)


def answered(journal: Journal, cost_nanos: int = 40) -> Settlement:
    return Settlement(
        journal=journal,
        outcome=Outcome.SUCCEEDED,
        usage=Usage(input_tokens=7, output_tokens=3),
        cost_nanos=cost_nanos,
        result=ResultDraft(ResultStatus.SUCCEEDED, output='"fine"'),
    )


def results(database: Database) -> list[int]:
    with database.read() as session:
        return sorted(session.exec(select(Result.seq)))


async def test_what_comes_together_is_written_together(
    writer: Writer, database: Moody, lease: Lease
) -> None:
    database.transactions = 0
    journals = [journal_of(lease, seq) for seq in range(JOBS)]
    admissions = await asyncio.gather(*map(writer.journal, journals))
    await asyncio.gather(*(writer.settle(answered(journal)) for journal in journals))
    assert set(admissions) == {Admission.ADMITTED}
    assert results(database) == list(range(JOBS))
    flushes_each = -(-JOBS // ROWS_PER_FLUSH)
    assert database.transactions <= 2 * flushes_each


@pytest.mark.parametrize("failing", ["failures_before", "failures_after"])
async def test_a_database_that_fails_for_a_while_gets_everything_once(
    writer: Writer, database: Moody, batch_ref: str, lease: Lease, failing: str
) -> None:
    journals = [journal_of(lease, seq) for seq in range(30)]
    setattr(database, failing, 3)
    admissions = await asyncio.gather(*map(writer.journal, journals))
    assert set(admissions) == {Admission.ADMITTED}
    setattr(database, failing, 3)
    decided = Unattempted(lease, 30, ResultDraft(ResultStatus.FAILED, error_code="unrunnable"))
    await asyncio.gather(*(writer.settle(answered(j)) for j in journals), writer.settle(decided))
    batch = batch_of(database, batch_ref)
    assert (batch.succeeded, batch.failed, batch.spent_nanos) == (30, 1, 30 * 40)
    assert (batch.in_flight, batch.reserved_nanos) == (0, 0)
    assert results(database) == list(range(31))


async def test_nothing_is_answered_before_it_is_committed(
    writer: Writer, database: Moody, lease: Lease
) -> None:
    journal = journal_of(lease, 0)
    await writer.journal(journal)
    database.failures_before = 10_000
    settling = asyncio.create_task(writer.settle(answered(journal)))

    async def has_tried_often() -> bool:
        return database.failures_before < 9_990

    await eventually_async(has_tried_often)
    assert not settling.done()
    assert results(database) == []
    database.failures_before = 0
    async with asyncio.timeout(5.0):
        await settling
    assert results(database) == [0]


async def test_an_answer_is_stored_also_when_nobody_waits_for_it_any_more(
    writer: Writer, database: Moody, lease: Lease
) -> None:
    journal = journal_of(lease, 0)
    await writer.journal(journal)
    database.failures_before = 1
    settling = asyncio.create_task(writer.settle(answered(journal)))
    await asyncio.sleep(0)
    settling.cancel()
    await writer.close()
    assert results(database) == [0]


async def test_an_attempt_that_nobody_waits_for_any_more_is_not_journaled(
    writer: Writer, database: Moody, lease: Lease
) -> None:
    wishes = [asyncio.create_task(writer.journal(journal_of(lease, seq))) for seq in range(2)]
    await asyncio.sleep(0)
    wishes[0].cancel()
    assert await wishes[1] is Admission.ADMITTED
    with database.read() as session:
        assert session.exec(select(Attempt.seq)).all() == [1]


async def test_a_row_that_the_database_will_never_take_holds_up_no_other(
    writer: Writer, database: Moody, batch_ref: str, lease: Lease
) -> None:
    journals = [journal_of(lease, seq) for seq in range(40)]
    await asyncio.gather(*map(writer.journal, journals))
    endings = [
        answered(journal, TOO_MANY_NANOS if journal.seq == 17 else 40) for journal in journals
    ]
    async with asyncio.timeout(10.0):
        ended = await asyncio.gather(*map(writer.settle, endings), return_exceptions=True)
    assert isinstance(ended[17], OverflowError)
    assert [fault for fault in ended if fault is not None] == [ended[17]]
    assert results(database) == [seq for seq in range(40) if seq != 17]
    assert batch_of(database, batch_ref).spent_nanos == 39 * 40


async def test_each_journal_gets_its_own_answer(
    writer: Writer, database: Database, batch_ref: str, lease: Lease
) -> None:
    other_ref = seed_batch(database)
    other = lease_of(database, other_ref)
    with database.write() as session:
        batches.move(session, lease.project_id, other_ref, BatchState.PAUSED)
    wishes = [journal_of(kept, seq) for seq in range(5) for kept in (lease, other)]
    said = await asyncio.gather(*map(writer.journal, wishes))
    assert said == [Admission.ADMITTED, Admission.RESTING] * 5
    assert batch_of(database, batch_ref).in_flight == 5


async def test_closing_writes_what_is_left(writer: Writer, database: Moody, lease: Lease) -> None:
    journals = [journal_of(lease, seq) for seq in range(ROWS_PER_FLUSH + 100)]
    await asyncio.gather(*map(writer.journal, journals))
    endings = [asyncio.create_task(writer.settle(answered(journal))) for journal in journals]
    await asyncio.sleep(0)
    await writer.close()
    assert results(database) == [journal.seq for journal in journals]
    await asyncio.gather(*endings)
