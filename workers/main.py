"""The processes of this package: a worker for the providers' queues, and the clock with its sweep."""

import logging
import os
import socket
from collections.abc import Sequence
from typing import Any, Protocol

from celery import Celery, bootsteps, signals
from celery.beat import EmbeddedService, Scheduler

from jobs.configuration import Configuration
from jobs.errors import ConfigurationError
from jobs.pipelines.folder import PipelineFolder
from jobs.prices import PriceBook
from jobs.queues import (
    BEGIN_RUNS,
    CONTROL_QUEUE,
    NATIVE_BATCH,
    RUN_SLICE,
    SHARE_OUT,
    SWEEP,
    make_celery,
)
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.store import check_schema, once_reachable, open_database
from workers.boot import build_conductor, build_runtime
from workers.broker_log import quieten
from workers.clock.courier import Courier
from workers.clock.sweep import SWEEP_S, Sweep
from workers.clock.sweeper import Sweeper, every
from workers.consumer import PromptConsumer
from workers.metrics import Figure, gauge, serve_metrics
from workers.pipelines.conductor import AT_ONCE as ENDS_AT_ONCE
from workers.pipelines.schedule import PipelineClock
from workers.pipelines.starting import Starter
from workers.runtime import Runtime

log = logging.getLogger(__name__)

CONTROL_SLOTS = 2
"""One sweeps, one finds that out and returns."""

EXPIRES_S = 10
"""A sweep that nobody has begun for so long is forgotten: the next one does its work."""


def run_worker(
    settings: Settings, configuration: Configuration, *, slots: int, name: str | None
) -> int:
    """Run a worker on the queues of all providers until it is told to stop; return its exit code.

    Args:
        settings: where things are.
        configuration: the providers.
        slots: slices that may be open at once; each takes a waiting thread, some 20 KB.
        name: of this worker on its host; None for one that nobody else has.

    Raises:
        ConfigurationError: no provider is configured, so there is nothing to work for.
        SchemaMismatch: the database is not at this version's schema.
    """
    if not configuration.providers:
        raise ConfigurationError(f"{settings.config} configures no provider")
    celery = make_celery(settings)
    runtime = build_runtime(settings, configuration, celery, slots=slots)

    @celery.task(name=RUN_SLICE)
    def run_slice(batch_ref: str, slice_no: int) -> None:
        runtime.run_slice(batch_ref, slice_no)

    @celery.task(name=SHARE_OUT)
    def share_out(batch_ref: str) -> None:
        runtime.do_lane_work(lambda office: office.share_out(batch_ref))

    @celery.task(name=NATIVE_BATCH)
    def native_batch(ref: str) -> None:
        runtime.do_lane_work(lambda office: office.look_after(ref))

    celery.steps["worker"].add(_runtime_step(runtime, settings))
    signals.worker_shutting_down.connect(lambda **_: runtime.drain(), weak=False)
    return _serve(
        celery, list(configuration.providers), slots=slots, name=name or f"worker-{os.getpid()}"
    )


def run_beat(settings: Settings, configuration: Configuration) -> int:
    """Run the clocks, and the small worker that sweeps, until told to stop; return its exit code.

    Two of them do no harm. Without any, lost messages and dead workers' slices wait for one.

    Raises:
        SchemaMismatch: the database is not at this version's schema.
    """
    celery = make_celery(settings)
    database = open_database(
        settings.resolved_database_url(), connections=CONTROL_SLOTS + ENDS_AT_ONCE + 2
    )
    once_reachable(database, check_schema)
    sweep = Sweep(database, celery, prices=PriceBook(configuration))
    sweeper = Sweeper(sweep)
    courier = Courier(database, to_private=settings.webhooks_to_private)
    folder = PipelineFolder(settings.pipelines_folder(), Catalogue(configuration))
    starter = Starter(database, folder)
    conductor = build_conductor(settings, configuration, database, celery)
    serve_metrics(settings, [sweep.takeovers])

    @celery.task(name=SWEEP)
    def run_sweep() -> None:
        sweeper.run()

    @celery.task(name=BEGIN_RUNS)
    def begin_runs(pipeline: str, _cron: str, _zone: str) -> None:
        starter.begin_due(pipeline)

    every_sweep: dict[str, Any] = {"task": SWEEP, "schedule": every(SWEEP_S, celery)}
    every_sweep["options"] = {"queue": CONTROL_QUEUE, "expires": EXPIRES_S}
    celery.conf.beat_schedule = {"sweep": every_sweep}
    clock = PipelineClock(settings, starter.schedules)
    celery.steps["worker"].add(_clock_step(celery, [sweeper, courier, starter, clock, conductor]))
    try:
        return _serve(celery, [CONTROL_QUEUE], slots=CONTROL_SLOTS, name=f"beat-{os.getpid()}")
    finally:
        database.close()


def _runtime_step(runtime: Runtime, settings: Settings) -> type[bootsteps.StartStopStep]:
    """Return the step that starts the event loop after the threads and ends it before them."""

    class RuntimeStep(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def start(self, worker: Any) -> None:
            runtime.start()
            serve_metrics(settings, _figures_of(runtime))
            log.info("ready for slices")

        def stop(self, worker: Any) -> None:
            runtime.stop()

    return RuntimeStep


def _figures_of(runtime: Runtime) -> list[Figure]:
    """Return what a started runtime tells of itself."""
    parts = runtime.parts
    return [
        parts.writer.waited,
        runtime.lag,
        gauge("tidemill_worker_in_flight", "Calls in flight.", lambda: parts.in_flight.in_use),
        gauge("tidemill_worker_open_slices", "Slices that run.", lambda: runtime.open_slices),
    ]


class Watcher(Protocol):
    """What works in a thread of its own from its start until its stop."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """Begin nothing more. It is not waited for."""
        ...


class SweepClock(Scheduler):
    """Celery's own scheduler, which keeps nothing."""

    lock_key = None
    """RedBeat asks every beat of its process for its lock's name, also those that are none of its own."""


def _clock_step(celery: Celery, watchers: Sequence[Watcher]) -> type[bootsteps.StartStopStep]:
    """Return the step that runs Celery's beat in a thread, and beside it those that look by themselves."""

    class ClockStep(bootsteps.StartStopStep):
        requires = ("celery.worker.components:Pool",)

        def start(self, worker: Any) -> None:
            service: Any = EmbeddedService(
                celery, thread=True, max_interval=1, scheduler_cls=SweepClock
            )
            service.start()
            self.clock = service
            for watcher in watchers:
                watcher.start()

        def stop(self, worker: Any) -> None:
            for watcher in watchers:
                watcher.stop()
            # Not waited for: without a broker it sleeps between its tries to reach one.
            self.clock.service.stop()

    return ClockStep


def _serve(celery: Celery, queues: list[str], *, slots: int, name: str) -> int:
    """Run a Celery worker of threads on these queues until it is told to stop."""
    celery.conf.worker_consumer = PromptConsumer
    worker = celery.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        pool="threads",
        concurrency=slots,
        queues=queues,
        without_gossip=True,
        without_mingle=True,
        loglevel="INFO",
    )
    quieten()
    worker.start()
    return int(worker.exitcode or 0)
