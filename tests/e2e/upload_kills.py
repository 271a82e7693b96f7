"""The API is killed again and again while a file is uploaded to it: one whole batch results.

By hand, with a million lines (minutes, and some gigabytes of disk under --folder):

    python -m tests.e2e.upload_kills --lines 1000000 --kills 3 --seed 1 --folder /tmp/kills \
        --database-url postgresql://postgres@127.0.0.1:5432/EMPTY_DATABASE
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from sqlmodel import col, func, select

from jobs.queues import make_celery
from jobs.store import Database
from jobs.tables import Batch, IdempotencyKey, Job, Slice
from tests.support.eventually import eventually
from tests.support.processes import ProcessUnderTest
from tests.support.system import Json, System, lines, ndjson, running_system
from workers.clock.sweep import Sweep

PROMPT = "x" * 900
"""Lines of 1 KB, so that a small file is also some packets long."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is sent, and how often the API dies meanwhile."""

    lines: int
    kills: int
    seed: int
    within_s: float = 120.0


@dataclass(slots=True)
class Outcome:
    """How it went.

    `killed_at` are the jobs that were stored of an upload when its API was killed, `attempts` the
    uploads that began, `rows` what there was of each table after the sweep.
    """

    batch: Json = field(default_factory=dict)
    killed_at: list[int] = field(default_factory=list)
    attempts: int = 0
    took_s: float = 0.0
    api_peak_bytes: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def survive(system: System, case: Case) -> Outcome:
    """Upload with `tidemill submit`, kill and restart the API at random points, sweep, and count.

    Raises:
        AssertionError: the command did not get its batch, or the upload was faster than a kill.
    """
    outcome = Outcome()
    source = system.folder / "jobs.jsonl"
    with source.open("wb") as file:
        for job in lines(case.lines, prefix="job"):
            file.write(ndjson([{**job, "system": PROMPT}]))
    chance = random.Random(case.seed)  # noqa: S311 - it draws moments, not secrets
    points = [chance.uniform(0.0, 0.9) for _ in range(case.kills)]
    api = system.start_api()
    with system.database() as database, _memory(system, outcome):
        began = time.monotonic()
        command = system.start(
            *("submit", str(source), "--retry-for", "600"), **system.client_environment()
        )
        for point in points:
            outcome.killed_at.append(_reach(database, command, int(point * case.lines)))
            api.kill()
            api.wait_ended()
            api = system.start_api()
        status = command.wait_ended(case.within_s)
        outcome.took_s = time.monotonic() - began
        outcome.told = command.log().splitlines()
        assert status == 0, command.tail()
        outcome.attempts = _rows(database)["Batch"]
        Sweep(database, make_celery(system.settings)).drop_abandoned_uploads()
        outcome.rows = _rows(database)
    (outcome.batch,) = system.http.get("/api/batches").json()["data"]
    return outcome


def _reach(database: Database, command: ProcessUnderTest, jobs: int) -> int:
    """Return how many jobs are stored once a new upload has more than so many."""
    earlier = _newest(database)

    def stored() -> int:
        assert command.exit_status is None, command.tail()
        newest = _newest(database)
        if newest == earlier:
            return 0
        with database.read() as session:
            last_seqs = select(Job.seq).where(Job.batch_id == newest).order_by(col(Job.seq).desc())
            count = (session.exec(last_seqs.limit(1)).first() or -1) + 1
        return count if count > jobs else 0

    return eventually(stored, 600.0, f"more than {jobs} jobs are stored")


def _newest(database: Database) -> int:
    with database.read() as session:
        return session.exec(select(Batch.id).order_by(col(Batch.id).desc())).first() or 0


def _rows(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            table.__name__: session.exec(select(func.count()).select_from(table)).one()
            for table in (Batch, Job, Slice, IdempotencyKey)
        }


@contextmanager
def _memory(system: System, outcome: Outcome) -> Iterator[None]:
    """Note the most memory that a process of the API takes meanwhile."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in list(system.processes):
                if process.name.startswith("api"):
                    try:
                        size = psutil.Process(process.pid).memory_info().rss
                    except psutil.Error:
                        continue
                    outcome.api_peak_bytes = max(outcome.api_peak_bytes, size)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def main() -> None:
    """Run one case from the command line and print how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--database-url", default="")
    given = parser.parse_args()
    case = Case(given.lines, given.kills, given.seed, within_s=3600.0)
    environment = {"TIDEMILL_DATABASE_URL": given.database_url} if given.database_url else {}
    with (
        tempfile.TemporaryDirectory(dir=given.folder) as folder,
        running_system(Path(folder), "http://127.0.0.1:9", **environment) as system,
    ):
        print(json.dumps(asdict(survive(system, case)), indent=1))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
