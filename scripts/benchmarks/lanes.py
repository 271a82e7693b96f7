"""Batches with a deadline that may go at half the price: what that saves, and whether they are in time.

The whole system against the simulated provider's batch API, with time compressed: what takes a night takes
a minute. Native batches are slow, get stuck, and workers are killed meanwhile.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from jobs.states import FINAL_BATCH_STATES
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.configuration import configuration
from scripts.benchmarks.correctness import read_results
from scripts.benchmarks.lanes_cases import STORIES, LanesPlan, Story
from scripts.benchmarks.lanes_judge import Judgement, judge_lanes
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Servers, own_place
from scripts.benchmarks.submission import accepted, submitting
from scripts.benchmarks.system import System, running_system
from scripts.benchmarks.workload import INPUT_USD, OUTPUT_USD
from scripts.command.client import Client, open_http

LATENCY = "uniform:200,30"
"""Of live calls."""

LOOK_EVERY_S = 0.2
NEVER_S = 300.0
"""A batch that has not ended so long after its deadline is stuck."""

CANCELS_S = 1.0
"""How long a cancel really takes."""

LANE = """\
[providers.sim.batch_lane]
max_jobs = {native_jobs}
turnaround_s = {turnaround_s}
look_every_s = 0.5
cancel_s = {cancel_s}
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LanesRun:
    """A story as it went; `took_s` is from the submission to the end."""

    story: str
    protocol: str
    store: Store
    jobs: int
    deadline_s: float
    took_s: float
    kills: int
    judgement: Judgement

    @property
    def breaks_a_promise(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.judgement.findings)


def measure_lanes(
    story: Story, protocol: str, store: Store, plan: LanesPlan, servers: Servers, say: Say
) -> LanesRun:
    """Run one batch through one story.

    Raises:
        ServiceUnavailable: something does not start, or the batch does not end.
    """
    case = Case(store, Latency.CONSTANT, plan.workers, plan.jobs, plan.in_flight)
    ways = f"takes_s={plan.native_s},stall={story.stall},cancels_s={CANCELS_S}"
    with (
        running_provider(LATENCY, "--batch", ways) as provider,
        own_place(store, servers) as place,
        running_system(case, place, _configuration(provider, protocol, plan)) as system,
        Client(
            open_http(system.url, system.key_file.read_text(encoding="utf-8").strip())
        ) as client,
    ):
        say(f"submitting {plan.jobs:,} lines")
        began = time.monotonic()
        deadline = datetime.now(UTC) + timedelta(seconds=plan.deadline_s)
        words = {"lane": "auto", "deadline": deadline.isoformat()}
        with submitting(system.url, system.key_file, plan.jobs, **words) as process:
            batch_id = accepted(process).batch_id
        trial = _Trial(story, plan, system, client, batch_id, say)
        kills = trial.see_through()
        took_s = time.monotonic() - began
        say("checking the results")
        judgement = trial.judge(provider)
    return LanesRun(
        *(story.name, protocol, store, plan.jobs, plan.deadline_s),
        took_s=took_s,
        kills=kills,
        judgement=judgement,
    )


def _configuration(provider: Provider, protocol: str, plan: LanesPlan) -> str:
    lane = LANE.format(
        native_jobs=plan.native_jobs,
        turnaround_s=plan.native_s + plan.slack_s,
        cancel_s=plan.cancel_s,
    )
    half = [
        f'batch_{name} = "{float(usd) / 2:g}"'
        for name, usd in (("input", INPUT_USD), ("output", OUTPUT_USD))
    ]
    text = configuration(provider.url, {"rpm": plan.calls_s * 60}, protocol=protocol)
    return "\n".join([text, *half, lane])  # the text ends with the model's prices


@dataclass(frozen=True, slots=True)
class _Trial:
    story: Story
    plan: LanesPlan
    system: System
    client: Client
    batch_id: str
    say: Say

    def see_through(self) -> int:
        """Wait for the batch's end; return how many workers were killed meanwhile."""
        kills, workers = 0, cycle(range(1, self.plan.workers + 1))
        stuck_at = time.monotonic() + self.plan.deadline_s + NEVER_S
        kill_at = time.monotonic() + self.plan.kill_every_s
        while True:
            batch = self.client.batch(self.batch_id)
            if batch["state"] in FINAL_BATCH_STATES:
                return kills
            if time.monotonic() > stuck_at:
                raise ServiceUnavailable(f"the batch is stuck: {batch}")
            self.say(f"{batch['counts']['succeeded']:,} jobs; {batch['waiting_for'] or ''}")
            self.system.check_alive()
            if self.story.kills and time.monotonic() > kill_at:
                self.system.kill(f"worker-{next(workers)}")
                kills += 1
                kill_at += self.plan.kill_every_s
            time.sleep(LOOK_EVERY_S)

    def judge(self, provider: Provider) -> Judgement:
        """Judge it by the provider's rows."""
        results = read_results(self.client.results(self.batch_id, "finished"), self.plan.jobs)
        reply = provider.client.get("/_sim/ledger/rows").raise_for_status()
        rows: list[dict[str, Any]] = [orjson.loads(line) for line in reply.content.splitlines()]
        batch = self.client.batch(self.batch_id)
        return judge_lanes(self.story, batch, self.client.balance(self.batch_id), results, rows)


def stories_of(plan: LanesPlan) -> list[tuple[Story, str, Store]]:
    """Return what a plan tries."""
    return [
        (STORIES[name], protocol, store)
        for store in plan.stores
        for protocol in plan.protocols
        for name in plan.stories
    ]


def print_lanes(output: Console, runs: Sequence[LanesRun]) -> None:
    """Print the figures as a table."""
    table = Table(
        *("story", "protocol", "store", "jobs", "due in", "to spare", "native batches"),
        *("lines in them", "live", "run twice", "unknown", "kills", "saved", "wrong"),
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for run in runs:
        seen = run.judgement
        table.add_row(
            *(run.story, run.protocol, run.store, f"{run.jobs:,}", f"{run.deadline_s:g} s"),
            *(f"{seen.spare_s:.1f} s", str(seen.batches), f"{seen.in_batches:,}"),
            *(f"{seen.rescued:,}", str(seen.twice), str(seen.unknown), str(run.kills)),
            *(f"{seen.saved:.1%}", str(len(seen.findings))),
        )
    output.print(table)
