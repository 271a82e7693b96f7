"""What a worker does with one batch, without processes: the true way of a job, on SQLite.

The gate and the provider, which are its edges, do as the test says.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
from fakeredis import FakeAsyncRedis
from sqlmodel import select

from jobs.clock import utcnow
from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.ingest import Intake
from jobs.lines import LineReader
from jobs.prices import PriceBook
from jobs.retry import Retry, prepare, read_again
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.states import Priority
from jobs.store import Database
from jobs.store.batches import uploads
from jobs.store.batches.jobs import SliceRange
from jobs.store.leases.leases import Lease
from jobs.store.projects import ensure_project
from jobs.tables import Attempt, Batch, Result, Slice
from tests.support.fake_gate import FakeGate
from tests.support.rows import batch_of, claimed, migrated, open_jobs_of
from workers.calls.calls import Caller
from workers.calls.keys import Keyring
from workers.calls.transport import AiohttpTransport
from workers.job import blame, detour, job_run
from workers.job.blame import Blame
from workers.job.forecast import Forecast
from workers.job.next_step import RetryPolicy
from workers.job.planning import Planning
from workers.job.suspicion import Quarantine
from workers.parts import Parts
from workers.prompt_caching.prompt_caches import PromptCaches
from workers.prompt_caching.shared_primings import SharedPrimings
from workers.slices.feeding import FeedLine
from workers.slices.in_flight import InFlight
from workers.slices.kept_answers import take_kept
from workers.slices.open_slice import OpenSlice
from workers.slices.slice_run import SliceRun
from workers.slices.vigil import Vigil
from workers.transactions import Transactions
from workers.writer import Writer

CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "first": {
                "protocol": "openai",
                "base_url": "http://first.test/v1",
                "models": ["small", "large"],
                "pools": [{"name": "blue"}],
            },
            "second": {"protocol": "anthropic", "base_url": "http://second.test"},
        },
        "routes": {"cheap": {"targets": ["first/small", "second/tiny"], "failover_after_s": 10}},
        "prices": {
            "first/small": {"input": "1", "output": "1"},
            "second/tiny": {"input": "20", "output": "20"},
            "second/kept": {
                "input": "1",
                "cached_input": "0.1",
                "cache_write": "1.25",
                "output": "1",
            },
        },
    }
)
CHAT = {
    "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
MESSAGE = {
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
Reply = httpx.Response | BaseException


@dataclass
class Provider:
    """Both providers: they answer well unless there is something else for them to say."""

    replies: deque[Reply] = field(default_factory=deque)
    seen: list[httpx.Request] = field(default_factory=list)
    before: Callable[[], Awaitable[object]] | None = None
    """What happens to every call before it is answered."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.before is not None:
            await self.before()
        reply: Reply | None = self.replies.popleft() if self.replies else None
        if isinstance(reply, BaseException):
            raise reply
        return reply or httpx.Response(
            200, json=CHAT if request.url.host == "first.test" else MESSAGE
        )

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.seen]


class NoFeed:
    """Takes note of slices that are drained; nobody feeds."""

    def __init__(self) -> None:
        self.drained_slices: list[Lease] = []

    def drained(self, lease: Lease) -> None:
        self.drained_slices.append(lease)

    async def close(self) -> None:
        pass


@dataclass
class Workshop:
    """A worker's parts, and a batch to run."""

    parts: Parts
    database: Database
    gate: FakeGate
    provider: Provider

    def submit(
        self,
        lines: Iterable[dict[str, Any]],
        *,
        slice_size: int = 100,
        priority: Priority = Priority.NORMAL,
        max_cost_nanos: int | None = None,
        given: Mapping[str, str] | None = None,
        project: str = "default",
    ) -> str:
        """Accept a batch and return its ref; `given` are its defaults, as a query says them.

        Its jobs may all have the same prompt: they are called for one by one, unless told otherwise.
        """
        usual = {"max_tokens": "10", "collapse": "never"}
        defaults = JobDefaults.from_query({**usual, **(given or {})})
        with self.database.write() as session:
            project_id = ensure_project(session, project)
        draft = uploads.BatchDraft(
            project_id, defaults.to_json(), priority=priority, max_cost_nanos=max_cost_nanos
        )
        reader = LineReader(defaults, self.parts.catalogue)
        intake = Intake(self.database, draft, reader, slice_size=slice_size, max_jobs=10_000)
        intake.take(b"".join(orjson.dumps(line) + b"\n" for line in lines))
        return intake.accept().ref

    def retry(self, ref: str, *codes: str, **changes: str) -> str:
        """Make a new batch of the jobs of one that has ended, and return its ref."""
        with self.database.read() as session:
            prepared = prepare(session, Retry(1, ref, changes, codes))
        reader = LineReader(prepared.defaults, self.parts.catalogue)
        intake = Intake(
            self.database, prepared.draft, reader, slice_size=100, max_jobs=prepared.jobs
        )
        read_again(self.database, prepared, intake)
        return intake.accept().ref

    def open(self, ref: str, slice_no: int = 0) -> tuple[OpenSlice, SliceRun]:
        """Lease a slice."""
        return self._opened(*claimed(self.database, ref, slice_no))

    def _opened(self, lease: Lease, cut: SliceRange) -> tuple[OpenSlice, SliceRun]:
        jobs = open_jobs_of(self.database, lease, cut)
        opened = OpenSlice(self.parts, lease, JobDefaults.from_json(lease.defaults), len(jobs))
        return opened, SliceRun(opened, jobs)

    async def run(self, ref: str, slice_no: int = 0) -> OpenSlice:
        """Lease a slice and run it to its end, as a worker does."""
        lease, cut = claimed(self.database, ref, slice_no)
        defaults = JobDefaults.from_json(lease.defaults)
        await take_kept(self.parts.transactions, lease, cut, defaults)
        opened, run = self._opened(lease, cut)
        async with asyncio.timeout(20.0):
            await run.run()
        return opened

    def attempts(self) -> list[Attempt]:
        with self.database.read() as session:
            return list(session.exec(select(Attempt).order_by("batch_id", "seq", "n")))

    def outcomes(self) -> list[str | None]:
        return [attempt.outcome for attempt in self.attempts()]

    def results(self) -> list[Result]:
        with self.database.read() as session:
            return list(session.exec(select(Result).order_by("batch_id", "seq")))

    def batch(self, ref: str) -> Batch:
        return batch_of(self.database, ref)

    def slice(self, slice_no: int = 0) -> Slice:
        with self.database.read() as session:
            return session.exec(select(Slice).where(Slice.no == slice_no)).one()


def line(custom_id: str = "a", model: str = "small") -> dict[str, Any]:
    """Return a plain job."""
    return {"custom_id": custom_id, "model": model, "prompt": "Say hello."}


def fake_gate() -> FakeGate:
    """Return a gate of the pools of `CONFIGURATION`."""
    return FakeGate({"first": "blue", "second": "main"})


def parts_of(settings: Settings, database: Database, gate: FakeGate, provider: Provider) -> Parts:
    """Return a worker's parts; to be called on the loop that they run on."""
    prices = PriceBook(CONFIGURATION)
    return Parts(
        settings=settings,
        configuration=CONFIGURATION,
        catalogue=Catalogue(CONFIGURATION),
        prices=prices,
        keys=Keyring(CONFIGURATION),
        transactions=Transactions(database),
        writer=Writer(database),
        feed=cast("FeedLine", NoFeed()),
        in_flight=InFlight(settings.max_in_flight),
        gate=gate,
        forecast=Forecast(),
        vigil=Vigil(),
        blame=Blame(),
        quarantine=Quarantine(),
        prompt_caches=PromptCaches(
            CONFIGURATION.providers,
            lambda provider, model: prices.price(provider, model, utcnow()),
            SharedPrimings(FakeAsyncRedis(decode_responses=True), "worker"),
        ),
        planning=Planning(),
        transport=AiohttpTransport(),
        caller=Caller(httpx.MockTransport(provider.answer), deadline_s=5.0),
    )


def asking(*prompts: str, **fields: Any) -> list[dict[str, Any]]:
    """Return a line for each prompt, named 0, 1, 2 …, with some fields the same for all."""
    return [
        {**line(str(number)), "prompt": prompt, **fields} for number, prompt in enumerate(prompts)
    ]


def make_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers wait for next to nothing between attempts, and before they doubt a pool."""
    monkeypatch.setattr(job_run, "RetryPolicy", partial(RetryPolicy, first_wait_s=0.001))
    monkeypatch.setattr(job_run, "TOLD_S", 0.001)
    monkeypatch.setattr(blame, "DOUBT_S", (0.02, 0.02))
    monkeypatch.setattr(detour, "SHORTEST_REST_S", 0.001)


@asynccontextmanager
async def workshop(folder: Path, *, max_in_flight: int = 8) -> AsyncIterator[Workshop]:
    """Yield a worker's parts on a database of their own; at the end nothing may be left unsettled."""
    gate, provider = fake_gate(), Provider()
    settings = Settings(home=folder, max_attempts=3, max_in_flight=max_in_flight)
    with migrated(f"sqlite:///{folder / 'tidemill.db'}") as database:
        parts = parts_of(settings, database, gate, provider)
        try:
            yield Workshop(parts, database, gate, provider)
            assert parts.in_flight.in_use == 0
            assert parts.in_flight.berths.in_use == 0
            assert gate.each_grant_is_settled_once
        finally:
            await parts.writer.close()
            parts.transactions.close()
            parts.planning.close()
            await parts.transport.aclose()
