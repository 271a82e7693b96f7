"""How long the dashboard's pages and the API's answers take with a million jobs in the database.

The rows are written by SQL, as they would stand after a night; the API answers over loopback. What is told
is the time until a whole page has arrived, in turn, so that each finds the caches that the others left.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from jobs.clock import utcnow
from jobs.errors import ServiceUnavailable
from jobs.pipelines.files import Pipeline
from jobs.states import RunKind, RunState
from jobs.store import Session
from jobs.store.batches import uploads
from jobs.store.batches.uploads import BatchDraft
from jobs.store.projects import DEFAULT_PROJECT, ensure_project
from jobs.store.runs.runs import RunWish, begin, scheduled_slot
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.configuration import configuration
from scripts.benchmarks.stores import Servers, own_place
from scripts.benchmarks.system import System, running_system

NO_PROVIDER = "http://127.0.0.1:9"

ROWS = Path(__file__).with_name("pages.sql")

OTHER_BATCHES = 2_000

RUNS = 366
"""Of one pipeline, a night each."""

NIGHTLY = Pipeline.model_validate(
    {
        "name": "nightly",
        "model": "sim-small",
        "schedule": {"cron": "0 22 * * *"},
        "deadline": "06:00",
        "source": {"files": "in/*.jsonl"},
        "stages": [
            {"name": "summary", "kind": "generation", "template": "Summarise: {{ row.text }}"},
            {"name": "title", "kind": "generation", "template": "A title for: {{ summary }}"},
        ],
        "sinks": [{"ndjson": "out/{date}.jsonl"}],
    }
)

DONE_WITHIN_S = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PagesPlan:
    """How many jobs the large batch has, and how often each page is asked for."""

    jobs: int = 1_000_000
    times: int = 100
    stores: Sequence[Store] = tuple(Store)


SMALL_PAGES = PagesPlan(jobs=5_000, times=3, stores=(Store.SQLITE,))


@dataclass(frozen=True, slots=True)
class PageTimes:
    """How long a page took, and what CPU of the API's process; `kilobytes` are those of its HTML."""

    page: str
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    kilobytes: float


def measure_pages(store: Store, plan: PagesPlan, servers: Servers, say: Say) -> list[PageTimes]:
    """Fill a database, and time every page.

    Raises:
        ServiceUnavailable: something does not start, or a page is not answered with 200.
    """
    case = Case(store, Latency.ZERO, 1, plan.jobs, 10)
    with (
        own_place(store, servers) as place,
        running_system(case, place, configuration(NO_PROVIDER, {"rpm": 600})) as system,
        httpx.Client(base_url=system.url, timeout=DONE_WITHIN_S, trust_env=False) as http,
    ):
        say(f"writing {plan.jobs:,} jobs")
        batch, run = fill(system, plan.jobs)
        key = system.key_file.read_text(encoding="utf-8").strip()
        http.post("/login", data={"key": key})
        http.headers["x-api-key"] = key  # of the API; the pages take the cookie
        paths = _pages(batch, run, plan.jobs) | _endpoints(batch, run)
        return [
            _timed(system, http, f"{store}: {name}", path, plan.times)
            for name, path in paths.items()
        ]


def print_pages(console: Console, times: Sequence[PageTimes]) -> None:
    """Print a row for each page."""
    table = Table("page", "p50 ms", "p99 ms", "CPU ms", "KB")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in times:
        times_ms = (f"{each.p50_ms:.1f}", f"{each.p99_ms:.1f}", f"{each.cpu_ms:.1f}")
        table.add_row(each.page, *times_ms, f"{each.kilobytes:.0f}")
    console.print(table)


def _pages(ref: str, run: str, jobs: int) -> dict[str, str]:
    batch = f"/batches/{ref}"
    return {
        "batches": "/",
        "a batch": batch,
        "results": f"{batch}/results",
        "results, in the middle": f"{batch}/results?before={jobs // 2}",
        "results that failed": f"{batch}/results?status=failed",
        "results of one reason": f"{batch}/results?status=failed&code=timeout",
        "results of a status that none has": f"{batch}/results?status=expired",
        "results by name": f"{batch}/results?name=job-{jobs // 3}",
        "a result": f"{batch}/results/{jobs // 2}",
        "pools": "/pools",
        "workers": "/workers",
        "usage": "/usage?days=366",
        "settings": "/settings",
        "pipelines": "/pipelines",
        "a run": f"/runs/{run}",
    }


def _endpoints(ref: str, run: str) -> dict[str, str]:
    batch = f"/api/batches/{ref}"
    paths = [
        "/api/batches?limit=100",
        batch,
        f"{batch}/results?limit=100",
        f"{batch}/attempts?limit=100",
        f"{batch}/progress",
        f"{batch}/receipt",
        "/api/receipts",
        "/api/usage",
        "/api/budget",
        "/api/pools",
        "/api/pipelines",
        "/api/runs?limit=100",
        f"/api/runs/{run}",
        f"/api/runs/{run}/receipt",
    ]
    return {path.replace(ref, "ID").replace(run, "ID"): path for path in paths}


def _timed(system: System, http: httpx.Client, page: str, path: str, times: int) -> PageTimes:
    took_ms, size = [], 0
    api = psutil.Process(system.processes["api"].pid)
    cpu_before_s = sum(api.cpu_times()[:2])
    for _ in range(times):
        began = time.perf_counter()
        reply = http.get(path)
        took_ms.append(1000 * (time.perf_counter() - began))
        if reply.status_code != HTTPStatus.OK:
            raise ServiceUnavailable(f"{path} was answered with {reply.status_code}")
        size = len(reply.content)
    took_ms.sort()
    last = len(took_ms) - 1
    p50_ms, p99_ms = took_ms[last // 2], took_ms[round(0.99 * last)]
    cpu_ms = 1000 * (sum(api.cpu_times()[:2]) - cpu_before_s) / times
    return PageTimes(page, p50_ms, p99_ms, cpu_ms, size / 1000)


def fill(system: System, jobs: int) -> tuple[str, str]:
    """Write a batch of so many jobs that has ended, many small ones, and a year of runs.

    Returns:
        the ids of the batch and of a run.
    """
    patient = system.database.with_patience(600.0, insists=True)
    with patient.write() as session:
        project_id = ensure_project(session, DEFAULT_PROJECT)
        for _ in range(OTHER_BATCHES):
            batch_id, _ = _batch(session, project_id, 1)
        batch_id, ref = _batch(session, project_id, jobs)
        run = _runs(session, project_id)
    words = {
        "{numbers}": _NUMBERS,
        **(_SQLITE if patient.is_sqlite else _POSTGRES),  # first, as they have the others in them
        "{batch}": str(batch_id),
        "{jobs}": str(jobs),
    }
    for statement in ROWS.read_text(encoding="utf-8").split(";"):
        with patient.write() as session:
            session.connection().exec_driver_sql(_said(statement, words))
    if not patient.is_sqlite:
        with patient.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as plain:
            plain.exec_driver_sql("VACUUM ANALYZE")  # which autovacuum does within a minute
    return ref, run


def _said(statement: str, words: Mapping[str, str]) -> str:
    for word, meaning in words.items():
        statement = statement.replace(word, meaning)
    return statement


def _batch(session: Session, project_id: int, jobs: int) -> tuple[int, str]:
    draft = BatchDraft(project_id=project_id, defaults="{}", name=f"night of {jobs:,}")
    batch_id, ref = uploads.begin(session, draft)
    uploads.accept(session, batch_id, total_jobs=jobs, total_slices=0)
    return batch_id, ref


def _runs(session: Session, project_id: int) -> str:
    tonight = utcnow()
    refs = []
    for nights_ago in range(RUNS):
        due_at = tonight - timedelta(days=nights_ago)
        wish = RunWish(project_id, RunKind.SCHEDULED, due_at, slot=scheduled_slot(due_at))
        run = begin(session, NIGHTLY, wish)
        assert run is not None  # nobody else makes any here
        run.state, run.rows = RunState.COMPLETED, 240
        run.started_at, run.finished_at = due_at, due_at + timedelta(hours=5)
        session.add(run)
        refs.append(run.ref)
    return refs[-1]


_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {jobs})"

_SQLITE = {
    "{blob}": "BLOB",
    "{moment}": "strftime('%Y-%m-%d %H:%M:%f000', 'now', (i * 28000 / {jobs} - 28800) || ' seconds')",
    "{day}": "date('now', '-' || k || ' days')",
}
_POSTGRES = {
    "%": "%%",  # for its driver
    "{blob}": "BYTEA",
    "{moment}": "now() - interval '8 hours' + (i * 28000.0 / {jobs}) * interval '1 second'",
    "{day}": "CURRENT_DATE - k",
}
"""What each database has words of its own for. Eight hours lie between the first and the last result."""
