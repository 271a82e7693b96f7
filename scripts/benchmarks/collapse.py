"""What jobs that repeat cost and save: a batch in which 40 % ask for the same as an earlier one.

Beside it, in the same run, a batch of as many different jobs as that one has, before and after. Calls are
the simulator's own account; who got which answer is checked job by job.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from jobs.money import format_usd, parse_usd
from jobs.states import FINAL_BATCH_STATES
from scripts.benchmarks.cases import WARM_UP_JOBS, Case, Latency, Store
from scripts.benchmarks.configuration import BEYOND_REACH, configuration
from scripts.benchmarks.meter import SAMPLE_EVERY_S, Meter
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Place
from scripts.benchmarks.system import System, running_system
from scripts.benchmarks.workload import LINES_PER_BLOCK, job_id, job_number, line, mark
from scripts.command.client import Client, open_http
from tidemill.upload import Upload, describe

FIRSTS, OF = 3, 5
"""Of every five jobs three are new, two repeat an earlier one."""

SCATTERING = 2_654_435_761
"""A prime near the golden section of 2**32: neighbours repeat jobs that are far apart (Knuth)."""

DONE_WITHIN_S = 900.0
MICROS_PER_S = 1_000_000

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class CollapsePlan:
    """How many jobs the batch has that repeats."""

    jobs: int = 100_000
    workers: int = 1
    in_flight: int = 400

    @property
    def different(self) -> int:
        """How many of them are different."""
        return sum(first_of(number) == number for number in range(self.jobs))


SMALL_COLLAPSE = CollapsePlan(jobs=2_000, in_flight=200)
"""What CI runs: that each gets the answer that it asked for, not what that costs."""


@dataclass(frozen=True, slots=True)
class Run:
    """One batch: its calls by the provider's account, and the CPU of all the system's processes."""

    jobs: int
    calls: int
    cpu_s: float
    took_s: float
    cost_nanos: int
    saved_nanos: int
    collapsed: int


@dataclass(frozen=True, slots=True)
class CollapseRun:
    """A batch that repeats, between two that don't."""

    before: Run
    repeating: Run
    after: Run
    findings: tuple[str, ...]

    @property
    def different_cpu_us(self) -> float:
        """CPU of a job that is called for, the mean of both batches."""
        runs = (self.before, self.after)
        return MICROS_PER_S * sum(r.cpu_s for r in runs) / sum(r.jobs for r in runs)

    @property
    def repeated_cpu_us(self) -> float:
        """CPU of a job that is not: what the repeating batch took beside that of its calls."""
        of_calls_s = self.different_cpu_us * self.repeating.calls / MICROS_PER_S
        repeated = self.repeating.jobs - self.repeating.calls
        return MICROS_PER_S * (self.repeating.cpu_s - of_calls_s) / repeated


def first_of(number: int) -> int:
    """Return the job that a job asks for the same as: itself, or one of the earlier ones, anywhere."""
    if number % OF < FIRSTS:
        return number
    earlier = number * SCATTERING % 2**32 % number
    return earlier - max(0, earlier % OF - FIRSTS + 1)


def measure_collapse(plan: CollapsePlan, say: Say) -> CollapseRun:
    """Run the three batches, once.

    Raises:
        ServiceUnavailable: something does not start, or a batch does not end.
    """
    case = Case(Store.SQLITE, Latency.ZERO, plan.workers, plan.jobs, plan.in_flight)
    with (
        running_provider("constant:0") as provider,
        running_system(case, Place("", ""), configuration(provider.url, BEYOND_REACH)) as system,
        open_http(system.url, system.key_file.read_text(encoding="utf-8").strip()) as http,
        Client(http) as client,
    ):
        trial = _Trial(system, provider, client, say)
        trial.run("warming up", range(WARM_UP_JOBS), lambda number: number)
        firsts = [number for number in range(plan.jobs) if first_of(number) == number]
        before, _ = trial.run("different jobs, before", firsts, lambda number: number)
        repeating, results = trial.run("jobs that repeat", range(plan.jobs), first_of)
        after, _ = trial.run("different jobs, after", firsts, lambda number: number)
    findings = [*strangers(results), *misbooked(results, repeating)]
    findings += [
        f"{run.calls:,} calls for {len(firsts):,} different jobs"
        for run in (before, repeating, after)
        if run.calls != len(firsts)
    ]
    return CollapseRun(before, repeating, after, tuple(findings))


@dataclass(frozen=True, slots=True)
class _Trial:
    system: System
    provider: Provider
    client: Client
    say: Say

    def run(
        self, what: str, numbers: Sequence[int], asks: Callable[[int], int]
    ) -> tuple[Run, dict[int, dict[str, Any]]]:
        """Run a batch of these jobs, each with the request of the one that it `asks` the same as."""
        self.provider.forget()
        meter = Meter({name: p.pid for name, p in self.system.processes.items()})
        began = time.monotonic()
        self.say(what)
        upload = Upload(partial(lines_of, numbers, asks), describe(".ndjson"), None)
        sent = self.client.submit(upload, {}, str(uuid.uuid4()))
        batch = self._wait(sent["id"], what, began)
        took_s, cpu_s = time.monotonic() - began, sum(meter.cpu_s().values())
        found = (orjson.loads(raw) for raw in self.client.results(batch["id"], "finished"))
        results = {job_number(result["custom_id"]) or 0: result for result in found}
        run = Run(
            jobs=len(results),
            calls=self.provider.ledger()["requests"],
            cpu_s=cpu_s,
            took_s=took_s,
            cost_nanos=parse_usd(batch["cost_usd"]),
            saved_nanos=parse_usd(batch["saved_usd"]),
            collapsed=batch["collapsed_jobs"],
        )
        return run, results

    def _wait(self, batch_id: str, what: str, began: float) -> dict[str, Any]:
        while (batch := self.client.batch(batch_id))["state"] not in FINAL_BATCH_STATES:
            if time.monotonic() - began > DONE_WITHIN_S:
                raise ServiceUnavailable(f"the batch is stuck: {batch}")
            self.say(f"{what}: {batch['counts']['succeeded']:,} of {batch['counts']['total']:,}")
            self.system.check_alive()
            time.sleep(SAMPLE_EVERY_S)
        return batch


def lines_of(numbers: Sequence[int], asks: Callable[[int], int]) -> Iterator[bytes]:
    """Yield the lines of these jobs, some hundred at a time, each with the request that it `asks` for."""
    for start in range(0, len(numbers), LINES_PER_BLOCK):
        yield b"".join(_line(n, asks(n)) for n in numbers[start : start + LINES_PER_BLOCK])


def _line(number: int, first: int) -> bytes:
    """Return a job with another one's request: its name stands first in the line."""
    return line(first).replace(job_id(first).encode(), job_id(number).encode(), 1)


def strangers(results: dict[int, dict[str, Any]]) -> Iterator[str]:
    """Yield which jobs have another answer than that to their own request."""
    wrong = [
        number
        for number, result in results.items()
        if not str(result["output"]).startswith(mark(job_id(first_of(number))))
    ]
    if wrong:
        yield f"{len(wrong):,} jobs have another one's answer: {wrong[:3]}"


def misbooked(results: dict[int, dict[str, Any]], run: Run) -> Iterator[str]:
    """Yield where what the batch says that it saved is not what its firsts cost, once for each repeat."""
    repeats = [number for number in results if first_of(number) != number]
    saved_nanos = sum(parse_usd(results[first_of(number)]["cost_usd"]) for number in repeats)
    if any(parse_usd(results[number]["cost_usd"] or "0") for number in repeats):
        yield "a repeated job cost something"
    if (saved_nanos, len(repeats)) != (run.saved_nanos, run.collapsed):
        yield f"{run.saved_nanos:,} saved by {run.collapsed:,} jobs where it is {saved_nanos:,}"


def print_collapse(output: Console, found: CollapseRun) -> None:
    """Print the three batches, and what a repeated job costs."""
    table = Table("batch", "jobs", "calls", "cost $", "saved $", "seconds", "CPU µs/job")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, run in (
        ("different, before", found.before),
        ("40 % repeat", found.repeating),
        ("different, after", found.after),
    ):
        table.add_row(
            *(name, f"{run.jobs:,}", f"{run.calls:,}"),
            *(format_usd(run.cost_nanos), format_usd(run.saved_nanos)),
            *(f"{run.took_s:.1f}", f"{MICROS_PER_S * run.cpu_s / run.jobs:.0f}"),
        )
    output.print(table)
    output.print(
        f"CPU of a job that is called for {found.different_cpu_us:.0f} µs, of one that repeats "
        f"{found.repeated_cpu_us:.0f} µs"
    )
