"""The command line of the benchmarks."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from jobs.configuration import ProtocolName
from scripts.benchmarks.answers_cases import SMALL_ANSWERS, AnswersPlan
from scripts.benchmarks.budget_cases import SMALL_BUDGET, BudgetPlan
from scripts.benchmarks.cases import SMALL, Latency, Plan, Store
from scripts.benchmarks.collapse import SMALL_COLLAPSE, CollapsePlan
from scripts.benchmarks.files import SMALL_FILES, FilesPlan
from scripts.benchmarks.lanes_cases import SMALL_LANES, STORIES, LanesPlan
from scripts.benchmarks.listeners import SMALL_LISTENERS, ListenersPlan
from scripts.benchmarks.pacing_cases import QUOTAS, SMALL_PACING, PacingPlan
from scripts.benchmarks.pages import SMALL_PAGES, PagesPlan
from scripts.benchmarks.pipelines import SMALL_PIPELINES, PipelinesPlan
from scripts.benchmarks.stores import Servers
from scripts.benchmarks.trouble_cases import SMALL_TROUBLE, TroublePlan

T = TypeVar("T")


class Subject(StrEnum):
    """What is measured."""

    SYSTEM = "system"
    QUEUE = "queue"
    """For orientation: a Celery message per job, the usual way."""
    GATE = "gate"
    """What the gate costs its Redis."""
    PACING = "pacing"
    """How much of a limit is used, and how many answers are 429."""
    BUDGET = "budget"
    """Whether a budget holds while many race for it, and how much of it is used."""
    TROUBLE = "trouble"
    """What storms, outages, quotas and keys in the middle of a batch cost it."""
    ANSWERS = "answers"
    """What becomes of answers that are not what was asked for."""
    COLLAPSE = "collapse"
    """What jobs cost and save that ask for the same as others."""
    FILES = "files"
    """How a large file goes through OpenAI's surface."""
    PAGES = "pages"
    """How long the dashboard takes with a million jobs."""
    SCHEMAS = "schemas"
    """What it takes to check an answer against its schema."""
    LISTENERS = "listeners"
    """What those cost who listen to a batch."""
    LANES = "lanes"
    """What half the price saves, and whether deadlines are kept where it gets stuck."""

    PIPELINES = "pipelines"
    """Whether the stages of a pipeline run side by side."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is told. `json` is where the figures are written too, None for nowhere."""

    subject: Subject
    plan: Plan
    pacing: PacingPlan
    trouble: TroublePlan
    budget: BudgetPlan
    answers: AnswersPlan
    collapse: CollapsePlan
    files: FilesPlan
    pages: PagesPlan
    listeners: ListenersPlan
    lanes: LanesPlan
    pipelines: PipelinesPlan
    servers: Servers
    json: Path | None


def parse_arguments(argv: Sequence[str]) -> Options:
    """Return what `argv` (without the program's name) asks for.

    Raises:
        SystemExit: an argument can't be; the reason is on stderr.
    """
    words = _parser().parse_args(argv)
    given = {
        field.name: value
        for field in fields(Plan)
        if (value := getattr(words, field.name)) is not None
    }
    return Options(
        subject=words.subject,
        plan=replace(SMALL if words.small else Plan(), **given),
        pacing=_pacing(words),
        trouble=_trouble(words),
        budget=_budget(words),
        answers=_answers(words),
        collapse=_collapse(words),
        files=_files(words),
        pages=_pages(words),
        listeners=SMALL_LISTENERS if words.small else ListenersPlan(),
        lanes=_lanes(words),
        pipelines=_pipelines(words),
        servers=Servers(words.postgres_url, words.redis_url),
        json=words.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the whole system against a simulated provider, and next to a bare loop.",
    )
    add = parser.add_argument
    add(
        "subject",
        nargs="?",
        type=Subject,
        choices=list(Subject),
        default=Subject.SYSTEM,
        help="`queue` measures a Celery message per job instead, for orientation; `gate` what the "
        "gate costs its Redis",
    )
    add("--jobs", type=_listed(_count), help="sizes of batches; default 10000,100000")
    add("--latency", dest="latencies", type=_listed(Latency), help="zero,200ms,tail")
    add("--stores", type=_listed(Store), help="sqlite,postgres")
    add("--workers", type=_listed(_count), help="worker processes; default 1,2")
    add("--in-flight", type=_count, help="calls at once, over all workers; default 1000")
    add("--repeat", type=_count, help="runs of each case, of which the median is shown")
    add("--json", type=Path, metavar="FILE", help="write all figures there as well")
    add("--small", action="store_true", help="2,000 jobs: judges that all is right, not how fast")
    add("--quotas", type=_listed(_quota), help="of `pacing`: " + "; ".join(QUOTAS))
    add("--bursts", type=_listed(float), help="of `pacing`: seconds that buckets hold; 1,60")
    add("--seconds", type=_count, help="of `pacing`: that are looked at; default 60")
    add(
        "--only",
        metavar="WORDS",
        help="of `pacing`, `trouble` and `lanes`: cases whose title has these words",
    )
    add("--protocols", type=_listed(_protocol), help="of `lanes`: openai,anthropic,gemini,mistral")
    add("--deadline-s", type=float, help="of `lanes`: how long a batch may take")
    add("--postgres-url", default="postgresql://postgres@127.0.0.1:5432/postgres")
    add("--redis-url", default="redis://127.0.0.1:6379", help="without a database number")
    return parser


def _pacing(words: argparse.Namespace) -> PacingPlan:
    given = {
        "quotas": words.quotas,
        "bursts_s": words.bursts,
        "workers": words.workers,
        "seconds": words.seconds,
        "only": words.only,
    }
    return replace(
        SMALL_PACING if words.small else PacingPlan(),
        **{name: value for name, value in given.items() if value is not None},
    )


def _trouble(words: argparse.Namespace) -> TroublePlan:
    plan = SMALL_TROUBLE if words.small else TroublePlan()
    found = tuple(name for name in plan.troubles if (words.only or "") in name)
    return replace(plan, troubles=found)


def _budget(words: argparse.Namespace) -> BudgetPlan:
    plan = SMALL_BUDGET if words.small else BudgetPlan()
    return plan if words.stores is None else replace(plan, stores=words.stores)


def _answers(words: argparse.Namespace) -> AnswersPlan:
    plan = SMALL_ANSWERS if words.small else AnswersPlan()
    return plan if words.jobs is None else replace(plan, jobs=words.jobs[0])


def _pages(words: argparse.Namespace) -> PagesPlan:
    plan = SMALL_PAGES if words.small else PagesPlan()
    given = {"jobs": words.jobs and words.jobs[0], "stores": words.stores}
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def _collapse(words: argparse.Namespace) -> CollapsePlan:
    plan = SMALL_COLLAPSE if words.small else CollapsePlan()
    return plan if words.jobs is None else replace(plan, jobs=words.jobs[0])


def _files(words: argparse.Namespace) -> FilesPlan:
    plan = SMALL_FILES if words.small else FilesPlan()
    given = {
        "jobs": words.jobs and words.jobs[0],
        "stores": words.stores,
        "workers": words.workers and words.workers[0],
        "in_flight": words.in_flight,
    }
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def _lanes(words: argparse.Namespace) -> LanesPlan:
    plan = SMALL_LANES if words.small else LanesPlan()
    given = {
        "jobs": words.jobs and words.jobs[0],
        "stores": words.stores,
        "protocols": words.protocols,
        "workers": words.workers and words.workers[0],
        "in_flight": words.in_flight,
        "deadline_s": words.deadline_s,
    }
    stories = STORIES if words.only else plan.stories
    found = tuple(name for name in stories if (words.only or "") in name)
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(plan, stories=found, **changes)


def _pipelines(words: argparse.Namespace) -> PipelinesPlan:
    plan = SMALL_PIPELINES if words.small else PipelinesPlan()
    given = {
        "rows": words.jobs and words.jobs[0],
        "stores": words.stores,
        "workers": words.workers and words.workers[0],
        "in_flight": words.in_flight,
    }
    return replace(plan, **{name: value for name, value in given.items() if value is not None})


def _protocol(name: str) -> str:
    return ProtocolName(name).value


def _quota(name: str) -> str:
    found = [quota for quota in QUOTAS if quota.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"{name!r} is the beginning of none, or of several, of {list(QUOTAS)}")
    return found[0]


def _listed(parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    def read(text: str) -> tuple[T, ...]:
        try:
            return tuple(parse(word.strip()) for word in text.split(","))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than one")
    return number
