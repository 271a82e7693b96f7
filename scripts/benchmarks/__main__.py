"""`scripts/bench`: see `--help`."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console

from jobs.errors import ServiceUnavailable, TidemillError
from scripts.benchmarks.answers import measure_answers, print_answers
from scripts.benchmarks.arguments import Options, Subject, parse_arguments
from scripts.benchmarks.budget import measure_budget, print_budgets
from scripts.benchmarks.cases import Store
from scripts.benchmarks.collapse import measure_collapse, print_collapse
from scripts.benchmarks.figures import Figures
from scripts.benchmarks.files import measure_files, print_files
from scripts.benchmarks.gate_cost import measure_gate, print_gate
from scripts.benchmarks.interruption import Interruption
from scripts.benchmarks.lanes import measure_lanes, print_lanes, stories_of
from scripts.benchmarks.listeners import measure_listeners, print_listeners
from scripts.benchmarks.machine import describe_machine
from scripts.benchmarks.measurement import measure
from scripts.benchmarks.message_per_job import measure_queue, print_queue
from scripts.benchmarks.pacing import measure_pace, print_paces
from scripts.benchmarks.pages import measure_pages, print_pages
from scripts.benchmarks.pipelines import measure_pipelines, print_pipelines
from scripts.benchmarks.report import Run, print_machine, print_report, write_json
from scripts.benchmarks.schemas import measure_schemas, print_schemas
from scripts.benchmarks.stores import version
from scripts.benchmarks.system import HOMES
from scripts.benchmarks.trouble import measure_trouble, print_aftermaths
from scripts.benchmarks.trouble_cases import TROUBLES
from scripts.launcher.descriptors import raise_limit

Say = Callable[[str], None]
Measured = TypeVar("Measured", bound=Run)

PROGRESS = Console(stderr=True, highlight=False)
OUTPUT = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def main(argv: Sequence[str]) -> int:
    """Measure, print, and return the exit status: 1 if a result or a sum was wrong."""
    options = parse_arguments(argv)
    interruption = Interruption()
    interruption.catch()
    raise_limit()  # a thousand connections; our children have it from us
    HOMES.mkdir(mode=0o700, exist_ok=True)
    try:
        return _SUBJECTS[options.subject](options, interruption)
    except TidemillError as error:
        PROGRESS.print(f"bench: {error.message}", style="red", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        PROGRESS.print("bench: interrupted")
    return 1


def _system(options: Options, interruption: Interruption) -> int:
    machine = describe_machine(HOMES)
    stores = {}
    for store in options.plan.stores:
        try:
            stores[store] = version(store, options.servers)
        except ServiceUnavailable as error:
            PROGRESS.print(f"skipping {store}: {error.message}", markup=False, soft_wrap=True)
    if not stores:
        raise ServiceUnavailable("there is no store to measure")
    runs = _measure_all(options, list(stores), interruption)
    machine["stores"] = "; ".join(stores.values())
    print_report(OUTPUT, machine, runs)
    if options.json is not None:
        write_json(options.json, machine, runs)
    wrong = [f"{run.case}: {finding}" for run in runs for finding in run.findings]
    for finding in wrong:
        PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    return int(bool(wrong))


def _measure_all(
    options: Options, stores: Sequence[Store], interruption: Interruption
) -> list[Figures]:
    cases = list(options.plan.cases(stores))
    runs = []
    with _progress(interruption) as about:
        for number, case in enumerate(cases, 1):
            title = f"[{number}/{len(cases)}] {case}"
            run = measure(case, options.servers, about(title))
            runs.append(run)
            verdict = "WRONG" if run.findings else f"{run.ratio:.3f} of the bare loop"
            line = f"{title}: {run.jobs_s:,.0f} jobs/s, {verdict}"
            PROGRESS.print(line, markup=False, soft_wrap=True)
    return runs


def _pacing(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a provider whose limits were configured had to refuse one of our calls."""
    paces = []
    found = options.pacing.cases()
    with _progress(interruption) as about:
        for number, case in enumerate(found, 1):
            title = f"[{number}/{len(found)}] {case}"
            pace = measure_pace(
                case, options.pacing.seconds, options.pacing.warm_up_s, about(title)
            )
            paces.append(pace)
            line = f"{title}: {pace.share:.4f} of the limit, {pace.refused:,} answers of 429"
            PROGRESS.print(line, markup=False, soft_wrap=True)
    _publish(options, paces, print_paces)
    return int(any(pace.breaks_a_promise for pace in paces))


def _budget(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a budget was overrun."""
    runs = []
    with _progress(interruption) as about:
        for store in options.budget.stores:
            run = measure_budget(store, options.budget, options.servers, about(store))
            runs.append(run)
            PROGRESS.print(f"{store}: {run.first.paused_for}", markup=False, soft_wrap=True)
    _publish(options, runs, print_budgets)
    return int(any(run.breaks_a_promise for run in runs))


def _trouble(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a job failed, got no or several results, or had an attempt counted."""
    seen = []
    plan = options.trouble
    with _progress(interruption) as about:
        for number, name in enumerate(plan.troubles, 1):
            title = f"[{number}/{len(plan.troubles)}] {name}"
            aftermath = measure_trouble(TROUBLES[name], plan, about(title))
            seen.append(aftermath)
            line = f"{title}: {aftermath.counted} attempts counted; it said: {aftermath.said}"
            PROGRESS.print(line, markup=False, soft_wrap=True)
            for finding in aftermath.findings:
                PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    _publish(options, seen, print_aftermaths)
    return int(any(aftermath.breaks_a_promise for aftermath in seen))


def _answers(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a bad answer passed, a good one was refused, or a sum is wrong."""
    runs = []
    with _progress(interruption) as about:
        for policy in options.answers.policies:
            run = measure_answers(policy, options.answers, about(policy))
            runs.append(run)
            for wrong in (*run.findings, *run.judgement.examples, *run.judgement.refusals):
                PROGRESS.print(f"WRONG: {wrong}", style="bold red", markup=False, soft_wrap=True)
    _publish(options, runs, print_answers)
    return int(any(run.breaks_a_promise for run in runs))


def _collapse(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a job got another one's answer, or a sum is wrong."""
    with _progress(interruption) as about:
        run = measure_collapse(options.collapse, about(""))
    for finding in run.findings:
        PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    _publish(options, [run], lambda output, runs: print_collapse(output, runs[0]))
    return int(bool(run.findings))


def _files(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a line got no answer, or another one's, or a sum is wrong."""
    runs = []
    with _progress(interruption) as about:
        for store in options.files.stores:
            run = measure_files(store, options.files, options.servers, about(store))
            runs.append(run)
            for finding in run.findings:
                PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    _publish(options, runs, print_files)
    return int(any(run.findings for run in runs))


def _pages(options: Options, interruption: Interruption) -> int:
    times = []
    with _progress(interruption) as about:
        for store in options.pages.stores:
            times += measure_pages(store, options.pages, options.servers, about(store))
    _publish(options, times, print_pages)
    return 0


def _listeners(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a listener was not told of a result."""
    with _progress(interruption) as about:
        measured = measure_listeners(options.listeners, options.servers, about(""))
    _publish(options, measured, print_listeners)
    return int(any(run.missed for run in measured))


def _lanes(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a job has no or several results, a sum is wrong, or a batch was late."""
    runs = []
    plan = options.lanes
    found = stories_of(plan)
    with _progress(interruption) as about:
        for number, (story, protocol, store) in enumerate(found, 1):
            title = f"[{number}/{len(found)}] {story.name}, {protocol}, {store}"
            run = measure_lanes(story, protocol, store, plan, options.servers, about(title))
            runs.append(run)
            seen = run.judgement
            line = f"{title}: {seen.saved:.1%} saved, {seen.spare_s:.1f} s to spare"
            PROGRESS.print(line, markup=False, soft_wrap=True)
            for finding in seen.findings:
                PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    _publish(options, runs, print_lanes)
    return int(any(run.breaks_a_promise for run in runs))


def _pipelines(options: Options, interruption: Interruption) -> int:
    """Exits with 1 if a row was lost or doubled, or the stages did not run side by side."""
    measured = []
    with _progress(interruption) as about:
        for store in options.pipelines.stores:
            run = measure_pipelines(store, options.pipelines, options.servers, about(store))
            measured.append(run)
            for finding in run.findings:
                PROGRESS.print(f"WRONG: {finding}", style="bold red", markup=False, soft_wrap=True)
    _publish(options, measured, print_pipelines)
    return int(any(run.findings for run in measured))


def _schemas(options: Options, interruption: Interruption) -> int:
    with _progress(interruption) as about:
        costs = measure_schemas(about(""))
    _publish(options, costs, print_schemas)
    return 0


def _publish(
    options: Options,
    runs: Sequence[Measured],
    print_runs: Callable[[Console, Sequence[Measured]], None],
) -> None:
    """Print the machine and what was measured on it, and write both where the options say."""
    machine = describe_machine(HOMES)
    print_machine(OUTPUT, machine)
    print_runs(OUTPUT, runs)
    if options.json is not None:
        write_json(options.json, machine, runs)


@contextmanager
def _progress(interruption: Interruption) -> Iterator[Callable[[str], Say]]:
    """Show one line of progress; yields what makes, for a title, the function that says its steps."""
    with PROGRESS.status("") as status:

        def about(title: str) -> Say:
            def say(step: str) -> None:
                interruption.check()
                status.update(f"{title}: {step}" if title else step)

            return say

        yield about


def _queue(options: Options, interruption: Interruption) -> int:
    with _progress(interruption) as about:
        say = about("")
        runs = [
            measure_queue(latency, jobs, options.plan.in_flight, say)
            for latency in options.plan.latencies
            for jobs in options.plan.jobs
        ]
    print_machine(OUTPUT, describe_machine(HOMES))
    print_queue(OUTPUT, runs)
    return 0


def _gate(_options: Options, interruption: Interruption) -> int:
    with _progress(interruption) as about:
        cost = measure_gate(about(""))
    print_machine(OUTPUT, describe_machine(HOMES))
    print_gate(OUTPUT, cost)
    return 0


_SUBJECTS: Mapping[Subject, Callable[[Options, Interruption], int]] = {
    Subject.SYSTEM: _system,
    Subject.QUEUE: _queue,
    Subject.GATE: _gate,
    Subject.PACING: _pacing,
    Subject.BUDGET: _budget,
    Subject.TROUBLE: _trouble,
    Subject.ANSWERS: _answers,
    Subject.COLLAPSE: _collapse,
    Subject.FILES: _files,
    Subject.PAGES: _pages,
    Subject.SCHEMAS: _schemas,
    Subject.LISTENERS: _listeners,
    Subject.LANES: _lanes,
    Subject.PIPELINES: _pipelines,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
