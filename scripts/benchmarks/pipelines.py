"""Whether the stages of a pipeline run side by side: three of them against the slowest one alone.

Each stage has a provider of its own with a limit of its own, so that what is measured is the handover and
not the limits. The slowest one's limit is what a run can't be faster than.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from jobs.clock import utcnow
from jobs.errors import ServiceUnavailable
from jobs.pipelines.files import Pipeline
from jobs.states import FINAL_RUN_STATES, RunKind, RunState
from jobs.store import Database
from jobs.store.projects import ensure_project
from jobs.store.runs import runs
from jobs.store.runs.runs import RunWish
from jobs.tables import Run
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.provider import running_provider
from scripts.benchmarks.stores import Servers, own_place
from scripts.benchmarks.system import System, running_system

LATENCY = "uniform:200,30"
LOOK_EVERY_S = 0.5
NEVER_S = 900.0

PROMISED = 1.15
"""Of the time that the slowest stage takes alone."""

PROTOCOLS = (("openai", "/v1"), ("mistral", "/mistral/v1"), ("anthropic", "/anthropic/v1"))
"""One for each stage."""

PROVIDER = """\
[providers.{name}]
protocol = "{protocol}"
base_url = "{url}{path}"
models = ["{name}-model"]
[[providers.{name}.pools]]
limits = {{ rps = {rps} }}
[prices."{name}/{name}-model"]
input = "0.10"
output = "0.40"
"""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PipelinesPlan:
    """Rows, and how many of them each of the three stages may begin in a second.

    So few that two cores have time for all three at once: else what is measured is the machine.
    """

    stores: Sequence[Store] = (Store.SQLITE,)
    rows: int = 10_000
    rates: tuple[int, int, int] = (90, 60, 90)
    workers: int = 1
    in_flight: int = 400
    judges_time: bool = True


SMALL_PIPELINES = PipelinesPlan(rows=200, judges_time=False)
"""What CI runs: that every row goes through all stages once."""


@dataclass(frozen=True, slots=True)
class PipelinesRun:
    """How long the slowest stage took alone, and all three."""

    store: Store
    rows: int
    alone_s: float
    all_s: float
    findings: Sequence[str]

    @property
    def share(self) -> float:
        """All three, of the slowest one."""
        return self.all_s / self.alone_s


def measure_pipelines(
    store: Store, plan: PipelinesPlan, servers: Servers, say: Say
) -> PipelinesRun:
    """Run the slowest stage alone, then all three.

    Raises:
        ServiceUnavailable: something does not start, or a run does not end.
    """
    case = Case(store, Latency.CONSTANT, plan.workers, plan.rows, plan.in_flight)
    slowest = plan.rates.index(min(plan.rates))
    with (
        running_provider(LATENCY) as provider,
        own_place(store, servers) as place,
        running_system(case, place, _configuration(provider.url, plan), "stage0") as system,
    ):
        folder = system.key_file.parent
        with (folder / "rows.jsonl").open("wb") as file:
            for number in range(plan.rows):
                file.write(orjson.dumps({"id": f"row-{number}", "text": f"Text {number}."}) + b"\n")
        alone = _run(system, _pipeline("alone", [slowest]), lambda told: say(f"alone: {told}"))
        every = _run(system, _pipeline("three", [0, 1, 2]), lambda told: say(f"all: {told}"))
        findings = [*_wrong(folder, "alone", plan.rows), *_wrong(folder, "three", plan.rows)]
    measured = PipelinesRun(store, plan.rows, _took_s(alone), _took_s(every), findings)
    if plan.judges_time and measured.share > PROMISED:
        findings.append(f"three stages took {measured.share:.2f} of the slowest one alone")
    return measured


def print_pipelines(output: Console, measured: Sequence[PipelinesRun]) -> None:
    """Print them as a table."""
    table = Table("store", "rows", "slowest stage alone", "three stages", "of it")
    for run in measured:
        table.add_row(
            *(str(run.store), f"{run.rows:,}", f"{run.alone_s:.1f} s", f"{run.all_s:.1f} s"),
            f"{run.share:.2f}",
        )
    output.print(table)


def _configuration(url: str, plan: PipelinesPlan) -> str:
    return "\n".join(
        PROVIDER.format(
            name=f"stage{number}", protocol=protocol, url=url, path=path, rps=plan.rates[number]
        )
        for number, (protocol, path) in enumerate(PROTOCOLS)
    )


def _pipeline(name: str, stages: Sequence[int]) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": name,
            "source": {"files": "rows.jsonl"},
            "stages": [
                {
                    "name": f"s{number}",
                    "kind": "generation",
                    "model": f"stage{number}-model",
                    "template": f"Stage {number} of {{{{ key }}}}: {{{{ row.text }}}}",
                    "max_tokens": 50,
                }
                for number in stages
            ],
            "sinks": [{"ndjson": f"{name}.jsonl"}],
        }
    )


def _run(system: System, pipeline: Pipeline, say: Say) -> Run:
    with system.database.write() as session:
        project_id = ensure_project(session, "default")
        made = runs.begin(session, pipeline, RunWish(project_id, RunKind.MANUAL, utcnow()))
    assert made is not None  # nobody else has its slot
    for run in _looks(system.database, made):
        system.check_alive()
        say(f"{run.state}, {run.rows:,} rows read")
        if run.state in FINAL_RUN_STATES:
            if run.state != RunState.COMPLETED:
                raise ServiceUnavailable(f"the run is {run.state}: {run.trouble}")
            return run
    raise ServiceUnavailable(f"the run of {pipeline.name} is stuck")


def _looks(database: Database, made: Run) -> Iterator[Run]:
    ends_at = time.monotonic() + NEVER_S
    while time.monotonic() < ends_at:
        with database.read() as session:
            run = runs.find(session, made.project_id, made.ref)
        yield run
        time.sleep(LOOK_EVERY_S)


def _took_s(run: Run) -> float:
    assert run.started_at is not None
    assert run.finished_at is not None
    return (run.finished_at - run.started_at).total_seconds()


def _wrong(folder: Path, name: str, rows: int) -> list[str]:
    lines: list[dict[str, Any]] = [
        orjson.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()
    ]
    keys = {line["key"] for line in lines}
    wrong = len(lines) != rows or len(keys) != rows
    return [f"{name}: {len(lines):,} rows of {len(keys):,} keys came out"] if wrong else []
