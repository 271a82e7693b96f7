"""What a provider's lies come to: all three kinds of jobs at a model that lies in each of its ways.

The whole system, as it is run in earnest. Who lied, and what would have been honest, is the simulator's own
account (`answers_judge`).
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
from scripts.benchmarks.answers_cases import BETTER_MODEL, POLICIES, ROUTE, AnswersPlan
from scripts.benchmarks.answers_jobs import lines
from scripts.benchmarks.answers_judge import Judgement, Tally, judge
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Place
from scripts.benchmarks.system import System, running_system
from scripts.benchmarks.workload import MODEL, PROVIDER
from scripts.command.client import Client, open_http
from tidemill.upload import Upload, describe

THINKS = "uniform:20,50"

DONE_WITHIN_S = 900.0
"""A batch that takes longer is stuck."""

CONFIGURATION = """\
[providers.{provider}]
protocol = "openai"
base_url = "{url}/v1"
models = ["sim-*"]
[[providers.{provider}.pools]]
limits = {{ rpm = 6000000, tpm = 6000000000 }}
[routes.{route}]
targets = ["{provider}/{model}", "{provider}/{better}"]
[prices."{provider}/{model}"]
input = "0.10"
output = "0.40"
[prices."{provider}/{better}"]
input = "1.00"
output = "4.00"
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AnswersRun:
    """What came of a batch under one policy; `findings` says where our books and the provider's differ."""

    policy: str
    judgement: Judgement
    findings: tuple[str, ...]

    @property
    def breaks_a_promise(self) -> bool:
        """Whether a bad answer passed, a good one was refused, or a sum is wrong."""
        return bool(self.judgement.bad or self.judgement.refusals or self.findings)


def measure_answers(policy: str, plan: AnswersPlan, say: Say) -> AnswersRun:
    """Run a batch under a policy, once.

    Raises:
        ServiceUnavailable: something does not start, or the batch does not end.
    """
    case = Case(Store.SQLITE, Latency.ZERO, plan.workers, plan.jobs, plan.in_flight)
    with running_provider(THINKS) as provider:
        toml = CONFIGURATION.format(
            provider=PROVIDER, url=provider.url, route=ROUTE, model=MODEL, better=BETTER_MODEL
        )
        with running_system(case, Place("", ""), toml) as system:
            provider.forget()
            faults = {"faults": plan.faults()}
            provider.client.post("/_sim/faults", json=faults).raise_for_status()
            key = system.key_file.read_text(encoding="utf-8").strip()
            with open_http(system.url, key) as http, Client(http) as client:
                given = {**POLICIES[policy], "model": ROUTE, "name": f"answers, {policy}"}
                upload = Upload(partial(_body, plan.jobs), describe(".ndjson"), None)
                batch_id = client.submit(upload, given, str(uuid.uuid4()))["id"]
                batch = _wait(client, batch_id, plan, system, say)
                results = [orjson.loads(raw) for raw in client.results(batch_id, "finished")]
        rows = _rows(provider)
    judgement = judge(lines(plan.jobs), results, rows)
    return AnswersRun(policy, judgement, tuple(_differences(batch, judgement, rows)))


def _body(jobs: int) -> Iterator[bytes]:
    for line in lines(jobs):
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _wait(
    client: Client, batch_id: str, plan: AnswersPlan, system: System, say: Say
) -> dict[str, Any]:
    deadline = time.monotonic() + DONE_WITHIN_S
    while True:
        batch = client.batch(batch_id)
        if batch["state"] in FINAL_BATCH_STATES:
            return batch
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"the batch is stuck: {batch}")
        say(f"{batch['counts']['succeeded']:,} of {plan.jobs:,} jobs")
        system.check_alive()
        time.sleep(0.2)


def _rows(provider: Provider) -> list[dict[str, Any]]:
    reply = provider.client.get("/_sim/ledger/rows").raise_for_status()
    return [orjson.loads(row) for row in reply.content.splitlines()]


def _differences(
    batch: dict[str, Any], judgement: Judgement, rows: Sequence[dict[str, Any]]
) -> list[str]:
    billed_nanos = sum(row["cost_nanos"] for row in rows)
    sums = {
        "the batch": (parse_usd(batch["cost_usd"]), billed_nanos),
        "its bad answers": (parse_usd(batch["bad_answers_cost_usd"]), judgement.wasted_nanos),
        "its jobs that succeeded": (batch["counts"]["succeeded"], judgement.succeeded),
    }
    return [
        f"{what}: {ours:,} where the provider has {truth:,}"
        for what, (ours, truth) in sums.items()
        if ours != truth
    ]


def print_answers(output: Console, runs: Sequence[AnswersRun]) -> None:
    """Print a table of each policy's lies, and one of the policies."""
    for run in runs:
        output.print(f"Bad answers: {run.policy}")
        output.print(_lies(run.judgement))
    table = Table(
        *(
            "policy",
            "jobs",
            "succeeded",
            "bad marked as succeeded",
            "good refused",
            "wasted $",
            "of the rest",
        )
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for run in runs:
        judged = run.judgement
        table.add_row(
            run.policy,
            f"{judged.jobs:,}",
            f"{judged.succeeded / judged.jobs:.2%}",
            str(judged.bad),
            str(len(judged.refusals)),
            format_usd(judged.wasted_nanos),
            f"{judged.wasted_nanos / judged.useful_nanos:.1%}",
        )
    output.print(table)


def _lies(judged: Judgement) -> Table:
    table = Table(
        *("lie", "calls", "jobs", "repaired", "asked again", "more room", "next model"),
        *("failed", "bad passed", "wasted $", "of the useful"),
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for lie, tally in sorted(judged.tallies.items()):
        table.add_row(lie or "(none)", *_cells(tally, judged.useful_nanos))
    return table


def _cells(tally: Tally, useful_nanos: int) -> list[str]:
    failed = ", ".join(f"{count} {code}" for code, count in sorted(tally.failed.items()))
    counts = (
        *(tally.calls, tally.jobs, tally.repaired, tally.asked_again, tally.given_room),
        tally.escalated,
    )
    return [
        *(f"{count:,}" for count in counts),
        failed or "0",
        str(tally.bad),
        format_usd(tally.wasted_nanos),
        f"{tally.wasted_nanos / useful_nanos:.2%}",
    ]
