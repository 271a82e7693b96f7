"""The event loop of a worker process: runs slices side by side, keeps their leases, drains at the end.

Celery's threads hand slices in and wait; everything else happens on this one loop, in its own thread.
"""

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from dataclasses import dataclass

import uvloop

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import LeaseLost, ServiceUnavailable
from jobs.loop_lag import lag_histogram, watch_loop
from jobs.settings import Settings
from jobs.store import Session, workers
from jobs.store.batches import batches
from jobs.store.batches.jobs import SliceRange, open_jobs
from jobs.store.leases import leases
from jobs.store.leases.leases import Lease
from jobs.store.workers import WorkerCard
from workers.job.job_run import RECONFIGURED_S
from workers.lanes.office import Office
from workers.parts import Parts
from workers.slices.kept_answers import take_kept
from workers.slices.open_slice import OpenSlice
from workers.slices.slice_run import SliceRun

log = logging.getLogger(__name__)

SWITCH_S = 0.0005
"""How long a thread may hold the interpreter while another one waits for it. While the loop waits for the
writer's thread answers lie unread and no call leaves; Python's own 5 ms idled some places."""

HEARTBEAT_S = 4.0
"""A lease lives 12 s, so two heartbeats may fail before it is lost."""

CLAIM_TRIES = 3
"""A slice that can't be claimed stays fed, and the sweep publishes it again."""

UNREADABLE = (
    "a worker that can read its jobs: one can't, which may be of an older version; see its log"
)


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Who the process is, and how its parts are made (on the loop, once it runs)."""

    settings: Settings
    configuration: Configuration
    card: WorkerCard
    build: Callable[[], Parts]


class Runtime:
    """One per worker process. `start`, `run_slice`, `drain` and `stop` are called from threads."""

    def __init__(self, options: RuntimeOptions) -> None:
        self._options = options
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="runtime", daemon=True)
        self._ready = threading.Event()
        self._parts: Parts | None = None
        self._office: Office | None = None
        self._leases: set[Lease] = set()  # from their claims on, so none runs out unread
        self._running: set[SliceRun] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # from before their claim on
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._heart: asyncio.Task[None] | None = None
        self._told_waits: dict[int, str] = {}  # what was last noted with the batches
        self.lag = lag_histogram()
        self._watching: asyncio.Task[None] | None = None

    @property
    def parts(self) -> Parts:
        """The process's parts; there from `start` to `stop`."""
        if self._parts is None:
            raise RuntimeError("the runtime has not been started")
        return self._parts

    @property
    def open_slices(self) -> int:
        """How many slices run here."""
        return len(self._running)

    def start(self) -> None:
        """Start the loop and its parts; returns when slices can be run."""
        self._thread.start()
        self._ready.wait()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()
        sys.setswitchinterval(SWITCH_S)
        # Collecting Celery's large, immortal heap over and over costs a quarter of the throughput.
        gc.collect()
        gc.freeze()
        gc.set_threshold(200_000, 50, 100)

    def run_slice(self, batch_ref: str, slice_no: int) -> None:
        """Lease a slice and run it to its end; returns at once if there is nothing to do."""
        if self._draining:
            return
        running = asyncio.run_coroutine_threadsafe(self._run_slice(batch_ref, slice_no), self._loop)
        try:
            running.result()
        except CancelledError:
            log.warning("slice %d of %s was cut off by the shutdown", slice_no, batch_ref)

    def do_lane_work(self, work: Callable[[Office], Coroutine[None, None, None]]) -> None:
        """Do something that is due in the batch lanes; returns at once if there is nothing to do."""
        if self._draining:
            return
        doing = asyncio.run_coroutine_threadsafe(self._do_lane_work(work), self._loop)
        try:
            doing.result()
        except CancelledError:
            log.warning("work in a batch lane was cut off by the shutdown")

    def drain(self) -> None:
        """Start no more calls; abort those that are still in flight after the grace time."""
        if not self._draining:
            self._draining = True
            self._loop.call_soon_threadsafe(self._drain)

    def stop(self) -> None:
        """End everything in order: open slices first, then the parts, then the loop."""
        self.drain()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        self._loop.close()

    async def _begin(self) -> None:
        self._parts = self._options.build()
        self._office = Office(self._parts)
        await self._try_to_beat()
        self._heart = asyncio.create_task(self._keep_beating())
        self._watching = asyncio.create_task(watch_loop(self.lag))

    async def _run_slice(self, batch_ref: str, slice_no: int) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in a task
        self._tasks.add(task)
        try:
            await self._claim_and_run(batch_ref, slice_no)
        finally:
            self._tasks.discard(task)

    async def _do_lane_work(self, work: Callable[[Office], Coroutine[None, None, None]]) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in a task
        assert self._office is not None  # it is there from `start` on
        self._lane_tasks.add(task)
        try:
            await work(self._office)
        finally:
            self._lane_tasks.discard(task)

    async def _claim_and_run(self, batch_ref: str, slice_no: int) -> None:
        owner = self._options.card.id
        claimed = await self.parts.transactions.write(
            lambda session: leases.claim(session, batch_ref, slice_no, owner),
            about=batch_ref,
            tries=CLAIM_TRIES,
        )
        if claimed is None:
            return
        lease, cut = claimed
        self._leases.add(lease)
        try:
            run = await self._open(lease, cut)
            if run is not None:
                await self._run(run)
        finally:
            self._leases.discard(lease)

    async def _open(self, lease: Lease, cut: SliceRange) -> SliceRun | None:
        """Read those jobs of a leased slice that are to be called for.

        A slice that can't be read is given back, and None returned.
        """
        parts = self.parts
        try:
            defaults = JobDefaults.from_json(lease.defaults)
            await take_kept(parts.transactions, lease, cut, defaults)
            jobs = await parts.transactions.read(
                lambda session: open_jobs(
                    session, lease.batch_id, cut, is_first_lease=lease.fence == 1
                )
            )
            return SliceRun(OpenSlice(parts, lease, defaults, len(jobs)), jobs)
        except LeaseLost as error:
            log.warning("%s", error)
            return None
        except ServiceUnavailable as error:
            log.warning("slice %d of %s is not read: %s", lease.slice_no, lease.batch_ref, error)
            wait_s, reason = 0.0, None
        except Exception:
            log.exception("slice %d of %s can't be read", lease.slice_no, lease.batch_ref)
            wait_s, reason = RECONFIGURED_S, UNREADABLE
        try:
            await parts.transactions.write(
                lambda session: leases.give_back(session, lease, wait_s=wait_s, reason=reason),
                about=lease.batch_ref,
            )
        except LeaseLost as error:
            log.warning("%s", error)
        return None

    async def _run(self, run: SliceRun) -> None:
        self._running.add(run)
        if self._draining:
            run.drain()
        try:
            await run.run()
        finally:
            self._running.discard(run)

    def _drain(self) -> None:
        log.info("draining %d open slices", len(self._running))
        for run in self._running:
            run.drain()
        if self._office is not None:
            self._office.close()
        self._loop.call_later(self._options.settings.drain_grace_s, self._abort)

    def _abort(self) -> None:
        for run in self._running:
            run.abort()
        # Killed between any two of its lines a step is taken up by another process.
        for task in self._lane_tasks:
            task.cancel()

    async def _end(self) -> None:
        if tasks := {*self._tasks, *self._lane_tasks}:
            await asyncio.wait(tasks)
        if self._office is not None:
            await self._office.end()
        for task in (self._heart, self._watching):
            if task is not None:
                task.cancel()
        parts, card = self.parts, self._options.card
        try:
            await parts.transactions.write(
                lambda s: workers.leave(s, card.id), about=card.id, tries=1
            )
        except Exception:  # the sweep forgets silent workers
            log.exception("could not say goodbye")
        await parts.close()

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._try_to_beat()

    async def _try_to_beat(self) -> None:
        """Beat; if that fails the next one may get through, and the lease allows for two."""
        try:
            await self._beat()
            await self._tell_waits()
        except ServiceUnavailable as error:
            log.warning("a heartbeat failed: %s", error)
        except Exception:  # the worker lives on
            log.exception("a heartbeat failed")

    async def _beat(self) -> None:
        card, in_flight = self._options.card, self.parts.in_flight.in_use
        held = [(lease.batch_id, lease.slice_no) for lease in self._leases]

        def beat(session: Session) -> set[int]:
            workers.beat(session, card, in_flight)
            return leases.renew(session, card.id, held)

        at_rest = await self.parts.transactions.write(beat, about=card.id, tries=1)
        # Jobs that wait for a paused pool would not hear of it: they never get to the journal.
        for run in self._running:
            if run.batch_id in at_rest:
                run.drain()

    async def _tell_waits(self) -> None:
        """Note with the batches that run here why they wait; each time, as a lease clears it."""
        waits = dict(wait for run in self._running if (wait := run.waits_for) is not None)
        if waits or self._told_waits:
            over = self._told_waits
            await self.parts.transactions.write(
                lambda session: batches.tell_waits(session, waits, over), about="waits", tries=1
            )
            self._told_waits = waits
