"""Rows that tests start from."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from sqlalchemy import make_url, update
from sqlmodel import col

from jobs.feed import LOST_AFTER
from jobs.states import Priority
from jobs.store import Database, migrate, now, open_database
from jobs.store.attempts.reports import Journal
from jobs.store.batches import batches, uploads
from jobs.store.batches.jobs import OpenJob, SliceRange, insert_chunk, insert_slices, open_jobs
from jobs.store.batches.uploads import BatchDraft
from jobs.store.leases.leases import Lease, claim
from jobs.store.projects import ensure_project
from jobs.tables import Batch, Slice
from tests.support.templates import copy_sqlite


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """Open a database at the present schema, made so if it isn't, and close it."""
    address = make_url(url)
    if (
        address.get_backend_name() == "sqlite"
        and not (file := Path(address.database or "")).exists()
    ):
        copy_sqlite(file)
    database = open_database(url)
    try:
        migrate(database)
        yield database
    finally:
        database.close()


def seed_batch(
    database: Database,
    *,
    jobs: int = 10,
    slice_size: int = 10,
    queue: str = "sim",
    priority: Priority = Priority.NORMAL,
    max_cost_nanos: int | None = None,
    project: str = "default",
) -> str:
    """Accept a batch of plain jobs and return its ref."""
    with database.write() as session:
        project_id = ensure_project(session, project)
        draft = BatchDraft(
            project_id=project_id, defaults="{}", priority=priority, max_cost_nanos=max_cost_nanos
        )
        batch_id, ref = uploads.begin(session, draft)
        insert_chunk(
            session,
            [
                (batch_id, seq, f"job-{seq}", "generation", queue, "{}", 10, b"f" * 16, None)
                for seq in range(jobs)
            ],
        )
        ranges = [
            SliceRange(no, queue, first, min(first + slice_size, jobs) - 1, slice_size)
            for no, first in enumerate(range(0, jobs, slice_size))
        ]
        insert_slices(session, batch_id, ranges)
        uploads.accept(session, batch_id, total_jobs=jobs, total_slices=len(ranges))
    return ref


def batch_of(database: Database, ref: str) -> Batch:
    """Read a batch of the project `default`."""
    with database.read() as session:
        return batches.find(session, 1, ref)


def set_batch(database: Database, ref: str, **values: object) -> None:
    """Put values into a batch's row, as if they had come about."""
    with database.write() as session:
        session.connection().execute(update(Batch).where(col(Batch.ref) == ref).values(**values))


def age_messages(database: Database) -> None:
    """Let every slice have been fed so long ago that its message may be lost."""
    with database.write() as session:
        past = now(session) - LOST_AFTER - timedelta(seconds=1)
        session.connection().execute(update(Slice).values(fed_at=past))


def lease_of(database: Database, ref: str, slice_no: int = 0, owner: str = "worker-1") -> Lease:
    """Lease a slice, which must be free."""
    return leased(database, ref, slice_no, owner)[0]


def leased(
    database: Database, ref: str, slice_no: int = 0, owner: str = "worker-1"
) -> tuple[Lease, list[OpenJob]]:
    """Lease a slice, which must be free, and read its open jobs as a worker does."""
    lease, cut = claimed(database, ref, slice_no, owner)
    return lease, open_jobs_of(database, lease, cut)


def claimed(
    database: Database, ref: str, slice_no: int = 0, owner: str = "worker-1"
) -> tuple[Lease, SliceRange]:
    """Lease a slice, which must be free."""
    with database.write() as session:
        found = claim(session, ref, slice_no, owner)
    assert found is not None
    return found


def open_jobs_of(database: Database, lease: Lease, cut: SliceRange) -> list[OpenJob]:
    """Read the open jobs of a leased slice."""
    with database.read() as session:
        return open_jobs(session, lease.batch_id, cut, is_first_lease=lease.fence == 1)


def journal_of(lease: Lease, seq: int, n: int = 1, reserved_nanos: int = 100) -> Journal:
    """Return an attempt on a priced model."""
    return Journal(
        lease=lease,
        seq=seq,
        n=n,
        provider="sim",
        pool="main",
        model="sim-small",
        price="[[0,1000,1000,1000,2000]]",
        reserved_nanos=reserved_nanos,
    )
