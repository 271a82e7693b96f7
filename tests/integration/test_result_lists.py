"""What pages show of a batch's rows: lists, reasons, curves and samples, each read within bounds."""

from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import insert, update
from sqlmodel import Session, col

from api.dashboard.batches import standings_of
from jobs.clock import utcnow
from jobs.states import ResultStatus
from jobs.store import Database
from jobs.store.leases import slices
from jobs.store.results import arrivals, failures, result_lists, samples
from jobs.store.workers import WorkerCard, beat, listed
from jobs.tables import Attempt, Batch, Result, Slice, Worker
from tests.support.rows import batch_of, lease_of, seed_batch

JOBS = 300
FAILED_EVERY = 10

BEGAN = utcnow() - timedelta(seconds=JOBS)


@pytest.fixture
def ref(database: Database) -> str:
    """A batch whose jobs ended in the opposite order, one a second; each tenth failed."""
    ref = seed_batch(database, jobs=JOBS, slice_size=JOBS)
    batch = batch_of(database, ref)
    with database.write() as session:
        session.connection().execute(insert(Result), [result(batch, n) for n in range(JOBS)])
        session.connection().execute(insert(Attempt), [attempt(batch, n) for n in range(JOBS)])
        stored = session.get(Batch, batch.id)
        assert stored is not None
        stored.failed = JOBS // FAILED_EVERY
        stored.succeeded = JOBS - stored.failed
        session.add(stored)
    return ref


def result(batch: Batch, n: int) -> dict[str, object]:
    failed = n % FAILED_EVERY == 0
    code = "timeout" if n % (2 * FAILED_EVERY) == 0 else "refused"
    return {
        "batch_id": batch.id,
        "seq": n,
        "position": JOBS - n,
        "status": "failed" if failed else "succeeded",
        "output": None if failed else f'"answer {n}"',
        "error_code": code if failed else None,
        "error_message": f"message {n}" if failed else None,
        "source": "live",
        "finished_at": BEGAN + timedelta(seconds=JOBS - n),
    }


def attempt(batch: Batch, n: int) -> dict[str, object]:
    return {
        "batch_id": batch.id,
        "seq": n,
        "n": 1,
        "provider": "sim",
        "pool": "main",
        "model": "sim-small",
        "reserved_nanos": 1,
        "sent_at": BEGAN,
        "outcome": "succeeded",
        "latency_ms": n,
        "input_tokens": 1,
        "cached_input_tokens": 2,
        "cache_write_tokens": 3,
        "output_tokens": 10,
        "reasoning_tokens": 0,
        "cost_nanos": 5,
    }


def all_pages(session: Session, batch: Batch, limit: int = 50, **wanted: object) -> list[int]:
    seqs: list[int] = []
    before: int | None = None
    for _ in range(JOBS):
        page = result_lists.newest(session, batch, before=before, limit=limit, **wanted)  # type: ignore[arg-type]  # by name
        assert len(page.rows) <= limit
        seqs += [row.seq for row in page.rows]
        before = page.next_before
        if before is None:
            return seqs
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("limit", [1, 7, 50, JOBS])
def test_pages_have_every_result_once_the_newest_first(
    database: Database, ref: str, limit: int
) -> None:
    with database.read() as session:
        assert all_pages(session, batch_of(database, ref), limit) == list(range(JOBS))


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_pages_of_a_status_or_a_reason_have_those_alone(
    database: Database, ref: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_lists, "LOOKED_AT", 23)
    failed = list(range(0, JOBS, FAILED_EVERY))
    batch = batch_of(database, ref)
    with database.read() as session:
        assert all_pages(session, batch, limit, status=ResultStatus.FAILED) == failed
        of_reason = all_pages(session, batch, limit, status=ResultStatus.FAILED, code="timeout")
        assert of_reason == failed[::2]
        succeeded = all_pages(session, batch, limit, status=ResultStatus.SUCCEEDED)
        assert succeeded == [n for n in range(JOBS) if n % FAILED_EVERY]
        assert all_pages(session, batch, limit, status=ResultStatus.EXPIRED) == []


def test_jobs_are_found_by_how_their_name_begins(database: Database, ref: str) -> None:
    batch = batch_of(database, ref)
    with database.read() as session:
        found = {row.custom_id: row for row in result_lists.named(session, batch, "job-29").rows}
        assert set(found) == {"job-29", *(f"job-29{n}" for n in range(10))}
        assert (found["job-290"].error_code, found["job-290"].preview) == ("refused", "message 290")
        assert found["job-291"].preview == '"answer 291"'
        assert result_lists.named(session, batch, "lamp").rows == []
        assert result_lists.named(session, batch, "job-29%").rows == []


def test_a_job_without_a_result_is_found_by_its_name(database: Database) -> None:
    batch = batch_of(database, seed_batch(database))
    with database.read() as session:
        (row,) = result_lists.named(session, batch, "job-7").rows
        assert (row.seq, row.status) == (7, None)
        assert result_lists.newest(session, batch).rows == []
        assert result_lists.asked(session, batch, 99) is None


def test_reasons_are_counted_and_have_their_newest_as_examples(
    database: Database, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(database, ref)
    with database.read() as session:
        found = {reason.code: reason for reason in failures.reasons(session, batch)}
        assert {code: reason.jobs for code, reason in found.items()} == {
            "refused": 15,
            "timeout": 15,
        }
        newest = found["timeout"].examples[0]
        assert (newest.custom_id, newest.message) == ("job-0", "message 0")
        monkeypatch.setattr(failures, "COUNTED", 10)
        assert [(r.jobs, r.is_at_least) for r in failures.reasons(session, batch)] == [
            (10, True)
        ] * 2


def test_where_one_reason_is_beyond_counting_the_total_tells_its_number(
    database: Database, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(database, ref)
    monkeypatch.setattr(failures, "COUNTED", 15)
    batch.failed += 1000  # all of them of the reason that is not counted to its end
    monkeypatch.setattr(failures, "codes", lambda *_: ["refused", "timeout"])
    with database.read() as session:
        assert sum(r.jobs for r in failures.reasons(session, batch)) == 30
    monkeypatch.setattr(failures, "COUNTED", 14)
    monkeypatch.setattr(failures, "codes", lambda *_: ["refused"])
    with database.read() as session:
        (reason,) = failures.reasons(session, batch)
        assert (reason.jobs, reason.is_at_least) == (1030, False)


@pytest.mark.parametrize("points", [2, 7, 120, JOBS, 1000])
def test_a_curve_goes_from_the_first_result_to_the_newest(
    database: Database, ref: str, points: int
) -> None:
    with database.read() as session:
        curve = arrivals.curve(session, batch_of(database, ref), points)
    assert len(curve) == min(points, JOBS)
    assert (curve[0].finished_jobs, curve[-1].finished_jobs) == (1, JOBS)
    for each in curve:
        assert each.at == BEGAN + timedelta(seconds=each.finished_jobs)


def test_a_pace_is_that_of_the_newest_results_up_to_now(database: Database, ref: str) -> None:
    batch = batch_of(database, ref)
    with database.read() as session:
        pace = arrivals.paces(session, [batch])[ref]
    # A result came each second, and none since.
    since = (utcnow() - BEGAN).total_seconds() - JOBS
    assert pace.quiet_s == pytest.approx(since, abs=10)
    assert pace.quiet_s is not None
    assert pace.per_s == pytest.approx(30 / (30 + pace.quiet_s))


def test_a_batch_without_results_has_no_pace(database: Database) -> None:
    batch = batch_of(database, seed_batch(database))
    with database.read() as session:
        assert arrivals.paces(session, [batch])[batch.ref] == arrivals.Pace()
        assert arrivals.curve(session, batch, 10) == []
        assert samples.sample(session, batch).jobs == 0


def test_a_sample_is_of_jobs_from_the_whole_batch(
    database: Database, ref: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = batch_of(database, ref)
    with database.read() as session:
        whole = samples.sample(session, batch)
        assert (whole.jobs, whole.is_complete) == (JOBS, True)
        assert {call.input_tokens for call in whole.calls} == {6}
        monkeypatch.setattr(samples, "JOBS", 30)
        part = samples.sample(session, batch)
    assert (part.jobs, part.of_jobs, part.is_complete) == (30, JOBS, False)
    seen = sorted(call.latency_ms or 0 for call in part.calls)
    assert (seen[0], seen[-1]) == (0, JOBS - 1)
    assert max(b - a for a, b in pairwise(seen)) <= 11


def test_a_batch_whose_slices_were_given_back_tells_its_next_try(database: Database) -> None:
    batch = batch_of(database, seed_batch(database, jobs=20, slice_size=10))
    assert batch.id is not None
    due = utcnow().replace(microsecond=0) + timedelta(seconds=30)
    with database.write() as session:
        assert slices.next_try(session, batch.id) is None
        session.connection().execute(update(Slice).values(not_before=due))
        session.connection().execute(
            update(Slice).where(col(Slice.no) == 1).values(not_before=due + timedelta(seconds=9))
        )
        assert slices.next_try(session, batch.id) == ("sim", due)
        (standing,) = standings_of(session, [batch])
    assert standing.waits == "a worker: none runs for sim"
    with database.write() as session:
        beat(session, WorkerCard("w", "host", 1, ["sim"], 1), 0)
        (standing,) = standings_of(session, [batch])
    assert standing.waits == f"its next try, at {due:%H:%M:%S} UTC"
    assert (standing.is_held, standing.tried_at) == (True, "sim")


def test_workers_are_listed_with_what_they_hold_and_the_lost_last(database: Database) -> None:
    ref = seed_batch(database)
    with database.write() as session:
        for name in ("a", "b", "c"):
            beat(session, WorkerCard(name, "host", 1, ["sim", "other"], 8), 3)
        lost = utcnow() - timedelta(minutes=1)
        session.connection().execute(
            update(Worker).where(col(Worker.id) == "a").values(seen_at=lost)
        )
    lease_of(database, ref, owner="b")
    with database.read() as session:
        found = listed(session)
    assert [(w.card.id, w.is_alive, w.slices) for w in found] == [
        ("b", True, 1),
        ("c", True, 0),
        ("a", False, 0),
    ]
    assert (found[0].card.queues, found[0].in_flight) == (["sim", "other"], 3)
