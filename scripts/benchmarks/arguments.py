"""The command line of the benchmarks."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from scripts.benchmarks.cases import SMALL, Latency, Plan, Store
from scripts.benchmarks.stores import Servers

T = TypeVar("T")


class Subject(StrEnum):
    """What is measured."""

    SYSTEM = "system"
    QUEUE = "queue"
    """For orientation: a Celery message per job, the usual way."""
    GATE = "gate"
    """What the gate costs its Redis."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is told. `json` is where the figures are written too, None for nowhere."""

    subject: Subject
    plan: Plan
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
    add("--postgres-url", default="postgresql://postgres@127.0.0.1:5432/postgres")
    add("--redis-url", default="redis://127.0.0.1:6379", help="without a database number")
    return parser


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
