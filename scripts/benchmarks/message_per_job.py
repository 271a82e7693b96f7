"""For orientation: a Celery message per job through the embedded Valkey, next to the same bare loop.

It keeps no result and no money; the provider's ledger says when the last call was answered.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from jobs.settings import Settings
from scripts.benchmarks import child
from scripts.benchmarks.bare_loop import run_bare_loop
from scripts.benchmarks.cases import SIMULATED, Latency
from scripts.benchmarks.figures import MICROS_PER_S
from scripts.benchmarks.measurement import STUCK_AFTER_S, Say
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.system import own_home, running_parts
from scripts.launcher import valkey

THREADS = 100
"""Each holds one call; httpx's pool, which the providers' own packages use too, slows with more."""

WORKER = "scripts.benchmarks.message_worker"
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class QueueRun:
    """A message per job, sent and consumed at the same time; CPU is the worker's alone."""

    latency: Latency
    jobs: int
    sent_s: float
    jobs_s: float
    bare_jobs_s: float
    worker_cpu_us: float


def measure_queue(latency: Latency, jobs: int, in_flight: int, say: Say) -> QueueRun:
    """Measure it once. The bare loop has `in_flight` calls at once, the worker its threads.

    Raises:
        ServiceUnavailable: something does not start, or messages are lost.
    """
    title = f"{latency}, {jobs:,} messages"
    with own_home() as home, running_provider(SIMULATED[latency]) as provider:
        say(f"{title}: a bare loop")
        bare = run_bare_loop(provider.url, jobs, in_flight)
        provider.forget()
        settings = Settings(home=home, broker_url="", redis_url="")
        broker_url = settings.resolved_broker_url()
        arguments = ("work", broker_url, provider.url, THREADS)
        with running_parts([valkey.server(settings)], home), child.started(WORKER, *arguments) as w:
            say(f"{title}: through Celery")
            _send(broker_url, 1)
            _wait_until_answered(provider, 1)
            worker = psutil.Process(w.pid)
            began, cpu_began = time.monotonic(), worker.cpu_times()
            sending_s = _send(broker_url, jobs)
            _wait_until_answered(provider, 1 + jobs)
            took_s, cpu = time.monotonic() - began, worker.cpu_times()
    cpu_s = cpu.user + cpu.system - cpu_began.user - cpu_began.system
    return QueueRun(
        latency=latency,
        jobs=jobs,
        sent_s=jobs / sending_s,
        jobs_s=jobs / took_s,
        bare_jobs_s=jobs / bare.took_s,
        worker_cpu_us=cpu_s / jobs * MICROS_PER_S,
    )


def print_queue(console: Console, runs: Sequence[QueueRun]) -> None:
    """Print a row per run."""
    table = Table("latency", "jobs", "sent/s", "jobs/s", "bare jobs/s", "ratio", "worker µs/job")
    for column in table.columns[1:]:
        column.justify = "right"
    for run in runs:
        table.add_row(
            run.latency,
            f"{run.jobs:,}",
            f"{run.sent_s:,.0f}",
            f"{run.jobs_s:,.0f}",
            f"{run.bare_jobs_s:,.0f}",
            f"{run.jobs_s / run.bare_jobs_s:.3f}",
            f"{run.worker_cpu_us:,.0f}",
        )
    console.print(table)


def _send(broker_url: str, messages: int) -> float:
    """Send from a process of its own; return how long the sending itself took."""
    with child.started(WORKER, "send", broker_url, messages) as process:
        took_s: float = child.answer(process)["took_s"]
        return took_s


def _wait_until_answered(provider: Provider, calls: int) -> None:
    answered, last_news = -1, time.monotonic()
    while (seen := provider.ledger()["answered"]) < calls:
        if seen != answered:
            answered, last_news = seen, time.monotonic()
        elif time.monotonic() - last_news > STUCK_AFTER_S:
            raise ServiceUnavailable(f"{seen:,} of {calls:,} messages led to a call")
        time.sleep(LOOK_EVERY_S)
