"""The figures, for people and for programs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from scripts.benchmarks.answers import AnswersRun
from scripts.benchmarks.budget import BudgetRun
from scripts.benchmarks.cases import Case
from scripts.benchmarks.collapse import CollapseRun
from scripts.benchmarks.figures import Figures, by_case, typical
from scripts.benchmarks.files import FilesRun
from scripts.benchmarks.lanes import LanesRun
from scripts.benchmarks.listeners import Listening
from scripts.benchmarks.pacing import Pace
from scripts.benchmarks.pages import PageTimes
from scripts.benchmarks.pipelines import PipelinesRun
from scripts.benchmarks.schemas import SchemaCost
from scripts.benchmarks.trouble import Aftermath

Run = (
    Figures
    | Listening
    | Pace
    | Aftermath
    | BudgetRun
    | AnswersRun
    | CollapseRun
    | FilesRun
    | LanesRun
    | PipelinesRun
    | PageTimes
    | SchemaCost
)

MIB = 1 << 20

COLUMNS = (
    "store",
    "latency",
    "jobs",
    "workers",
    "lines/s in",
    "jobs/s",
    "wall jobs/s",
    "bare jobs/s",
    "ratio",
    "CPU µs/job",
    "worker µs",
    "bare µs",
    "api MiB (receiving)",
    "worker MiB",
    "beat MiB",
)


def print_report(console: Console, machine: Mapping[str, str], runs: list[Figures]) -> None:
    """Print the machine, a row per case (its typical run) and what growing a batch costs."""
    print_machine(console, machine)
    typical_runs = [typical(same) for same in by_case(runs).values()]
    table = Table(*COLUMNS)
    for column in table.columns[2:]:
        column.justify = "right"
    for run in typical_runs:
        table.add_row(*_cells(run))
    console.print(table)
    for sentence in growth(typical_runs):
        console.print(sentence)


def print_machine(console: Console, machine: Mapping[str, str]) -> None:
    """Print what the figures were taken on."""
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), style="dim")


def write_json(
    path: Path,
    machine: Mapping[str, str],
    runs: Sequence[Run],
) -> None:
    """Write every run, not only the typical ones."""
    document = {"machine": machine, "runs": [asdict(run) for run in runs]}
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def growth(runs: list[Figures]) -> Iterator[str]:
    """Yield what a job costs in a larger batch, as multiples of its cost in the next smaller one."""
    ordered = sorted(runs, key=lambda run: run.case)
    for small, large in pairwise(ordered):
        if _kind(small.case) == _kind(large.case):
            case = large.case
            yield (
                f"{case.store}, {case.latency}, {case.workers} worker(s): per job, "
                f"{case.jobs:,} against {small.case.jobs:,}: "
                f"CPU ×{large.cpu_us / small.cpu_us:.2f}, "
                f"ratio ×{large.ratio / small.ratio:.2f}, "
                f"worker's memory ×{large.worker_bytes / small.worker_bytes:.2f}, "
                f"API's memory ×{large.api_bytes / small.api_bytes:.2f}"
            )


def _kind(case: Case) -> tuple[object, ...]:
    return case.store, case.latency, case.workers, case.in_flight


def _cells(run: Figures) -> tuple[str, ...]:
    case = run.case
    return (
        case.store,
        case.latency,
        f"{case.jobs:,}",
        str(case.workers),
        f"{run.submission_lines_s:,.0f}",
        f"{run.jobs_s:,.0f}",
        f"{run.wall_jobs_s:,.0f}",
        f"{run.bare_jobs_s:,.0f}",
        f"{run.ratio:.3f}",
        f"{run.cpu_us:,.0f}",
        f"{run.worker_cpu_us:,.0f}",
        f"{run.bare_cpu_us:,.0f}",
        f"{run.api_bytes / MIB:.0f} ({run.api_submission_bytes / MIB:.0f})",
        f"{run.worker_bytes / MIB:.0f}",
        f"{run.beat_bytes / MIB:.0f}",
    )
