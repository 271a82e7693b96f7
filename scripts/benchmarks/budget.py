"""Whether a budget holds, and how much of it is used: the simulator's bill against the cap.

The whole system, with more calls wanting to leave than there is money for, while the gate's Redis is
emptied every few seconds. When the batch pauses, its cap is doubled.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import redis
from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from jobs.money import format_usd, parse_usd
from jobs.settings import Settings
from jobs.states import BatchState
from scripts.benchmarks.budget_cases import BudgetPlan
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.configuration import BEYOND_REACH, configuration
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Servers, own_rows
from scripts.benchmarks.submission import accepted, submitting
from scripts.benchmarks.system import System, own_home, running_parts, running_system
from scripts.command.client import Client, open_http
from scripts.launcher import valkey

LOOK_EVERY_S = 0.1
STUCK_AFTER_S = 180.0
VALKEY_STARTS_WITHIN_S = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Spending:
    """What came of one cap; money in nano-dollars.

    `billed` is the provider's account, calls whose answer was lost included; `most_committed` is the
    most that was spent and reserved at any look. `paused_for` is what the batch said then.
    """

    cap_nanos: int
    spent_nanos: int
    billed_nanos: int
    most_committed_nanos: int
    flushes: int
    paused_for: str

    @property
    def overrun_nanos(self) -> int:
        """By how much the cap was broken, at any time and by any account."""
        most = max(self.spent_nanos, self.billed_nanos, self.most_committed_nanos)
        return max(0, most - self.cap_nanos)

    @property
    def share(self) -> float:
        """Of the cap that was used."""
        return self.spent_nanos / self.cap_nanos


@dataclass(frozen=True, slots=True)
class BudgetRun:
    """A batch at its cap, then at twice that; the first call after the raise left `resumed_s` later."""

    store: Store
    workers: int
    jobs: int
    part_of_demand: float
    first: Spending
    second: Spending
    resumed_s: float

    @property
    def breaks_a_promise(self) -> bool:
        """Whether money was spent that was not there."""
        return self.first.overrun_nanos + self.second.overrun_nanos > 0


def measure_budget(store: Store, plan: BudgetPlan, servers: Servers, say: Say) -> BudgetRun:
    """Let a batch use up its budget, twice.

    Raises:
        ServiceUnavailable: something does not start, or the batch does not pause.
    """
    case = Case(store, Latency.ZERO, plan.workers, plan.jobs, plan.in_flight)
    with (
        running_provider(plan.latency) as provider,
        _own_gate() as gate_url,
        own_rows(store, servers) as place,
        running_system(
            case, replace(place, redis_url=gate_url), configuration(provider.url, BEYOND_REACH)
        ) as system,
        redis.Redis.from_url(gate_url) as gate,
    ):
        provider.forget()
        say(f"submitting {plan.jobs:,} lines")
        words = {"max_cost_usd": plan.cap_usd}
        with submitting(system.url, system.key_file, plan.jobs, **words) as process:
            batch_id = accepted(process).batch_id
        key = system.key_file.read_text(encoding="utf-8").strip()
        with Client(open_http(system.url, key)) as client:
            trial = _Trial(plan, system, provider, client, gate, batch_id, say)
            first = trial.use_up(parse_usd(plan.cap_usd))
            answered = provider.ledger()["answered"]
            resumed_s = trial.resume(2 * first.cap_nanos)
            second = trial.use_up(2 * first.cap_nanos)
    demand = first.billed_nanos / answered * plan.jobs
    part = first.cap_nanos / demand
    return BudgetRun(store, plan.workers, plan.jobs, part, first, second, resumed_s)


@contextmanager
def _own_gate() -> Iterator[str]:
    """Run a Valkey for the gate alone: it is to be emptied, and the broker is not."""
    with own_home() as home:
        settings = Settings(home=home, broker_url="", redis_url="")
        socket = settings.embedded_socket()
        with running_parts([valkey.server(settings)], home):
            deadline = time.monotonic() + VALKEY_STARTS_WITHIN_S
            while not valkey.answers(socket):
                if time.monotonic() > deadline:
                    raise ServiceUnavailable("the gate's Valkey did not start")
                time.sleep(0.05)
            yield f"unix://{socket}"


@dataclass(frozen=True, slots=True)
class _Trial:
    plan: BudgetPlan
    system: System
    provider: Provider
    client: Client
    gate: redis.Redis
    batch_id: str
    say: Say

    def use_up(self, cap_nanos: int) -> Spending:
        """Empty the gate's Redis every few seconds until the batch pauses with nothing in flight."""
        most = flushes = 0
        flush_at = time.monotonic() + self.plan.flush_every_s
        deadline = time.monotonic() + STUCK_AFTER_S
        while True:
            batch = self.client.batch(self.batch_id)
            spent, reserved = _nanos(batch, "cost_usd"), _nanos(batch, "reserved_usd")
            most = max(most, spent + reserved)
            if batch["state"] == BatchState.PAUSED and not reserved:
                break
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"the batch does not pause: {batch}")
            if time.monotonic() > flush_at:
                self.gate.flushall()
                flushes += 1
                flush_at = time.monotonic() + self.plan.flush_every_s
            self.say(f"${format_usd(spent)} spent, ${format_usd(reserved)} reserved")
            self.system.check_alive()
            time.sleep(LOOK_EVERY_S)
        ledger = self.provider.ledger()
        billed = ledger["cost_nanos"] + ledger["unanswered_cost_nanos"]
        return Spending(cap_nanos, spent, billed, most, flushes, batch["waiting_for"])

    def resume(self, cap_nanos: int) -> float:
        """Raise the cap; return after how many seconds the next call arrived at the provider."""
        before = self.provider.ledger()["requests"]
        self.client.change_batch(self.batch_id, {"max_cost_usd": format_usd(cap_nanos)})
        began = time.monotonic()
        while self.provider.ledger()["requests"] == before:
            if time.monotonic() - began > STUCK_AFTER_S:
                raise ServiceUnavailable("the batch does not go on after its cap was raised")
            time.sleep(0.02)
        return time.monotonic() - began


def _nanos(batch: dict[str, Any], name: str) -> int:
    return parse_usd(batch[name] or "0")


def print_budgets(output: Console, runs: Sequence[BudgetRun]) -> None:
    """Print the figures as a table."""
    table = Table(
        "store",
        "processes",
        "jobs",
        "cap",
        "of demand",
        "used",
        "overrun",
        "flushes",
        "goes on after",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for run in runs:
        for spending, resumed in ((run.first, "-"), (run.second, f"{run.resumed_s:.2f} s")):
            table.add_row(
                run.store,
                str(run.workers),
                f"{run.jobs:,}",
                f"${format_usd(spending.cap_nanos)}",
                f"{run.part_of_demand * spending.cap_nanos / run.first.cap_nanos:.2%}",
                f"{spending.share:.4f}",
                f"${format_usd(spending.overrun_nanos)}",
                str(spending.flushes),
                resumed,
            )
    output.print(table)
