"""The command line of the fault injection."""

import argparse
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jobs.money import parse_usd
from scripts.benchmarks.cases import Store
from scripts.fault_injection import clocks
from scripts.fault_injection.kinds import Kind, chosen

SHORT_JOBS, SHORT_MINUTES = 5_000, 2.0
ONLY_POSTGRES = frozenset({Kind.DATABASE_KILL})
"""SQLite has no server."""


class Broker(StrEnum):
    """What carries Celery's messages; the gate is on a Redis in either case."""

    REDIS = "redis"
    RABBITMQ = "rabbitmq"


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is told.

    Faults begin every `every_s` for `minutes`. `max_cost_nanos` is shared by all batches, None for no
    budget. `json` is where the figures are written too, None for nowhere. With `keep`, logs, database
    and the provider's ledger stay.
    """

    seed: int
    store: Store
    broker: Broker
    jobs: int
    minutes: float
    every_s: float
    workers: int
    kinds: tuple[Kind, ...]
    max_cost_nanos: int | None
    json: Path | None
    keep: bool

    @property
    def lasts_s(self) -> float:
        """How long faults happen."""
        return self.minutes * 60


def parse_arguments(argv: Sequence[str]) -> Options:
    """Return what `argv` (without the program's name) asks for.

    Raises:
        SystemExit: an argument can't be; the reason is on stderr.
    """
    parser = _parser()
    words = parser.parse_args(argv)
    impossible = ONLY_POSTGRES if words.store is Store.SQLITE else frozenset()
    if Kind.CLOCK in words.faults and clocks.library() is None:
        impossible |= {Kind.CLOCK}
    kinds = tuple(kind for kind in words.faults if kind not in impossible)
    if not kinds:
        parser.error(f"{', '.join(words.faults)}: can't happen here, see --help")
    return Options(
        seed=secrets.randbelow(1_000_000) if words.seed is None else words.seed,
        store=words.store,
        broker=words.broker,
        jobs=words.jobs or (SHORT_JOBS if words.short else 20_000),
        minutes=words.minutes or (SHORT_MINUTES if words.short else 5.0),
        every_s=words.every,
        workers=words.workers,
        kinds=kinds,
        max_cost_nanos=words.max_cost_usd,
        json=words.json,
        keep=words.keep,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Let faults happen to the whole system while it works, then compare what was "
        "accepted, what came out, our books and the provider's. Exits with 1 if a promise was broken.",
    )
    add = parser.add_argument
    add("--seed", type=int, help="decides what happens; random, and printed, where none is given")
    add("--store", type=Store, choices=list(Store), default=Store.SQLITE)
    add(
        "--broker",
        type=Broker,
        choices=list(Broker),
        default=Broker.REDIS,
        help="rabbitmq: a virtual host of its own on this machine's server, which is never stopped",
    )
    add("--jobs", type=_count, help="in all, submitted in several batches; default 20000")
    add("--minutes", type=_positive, help="for how long faults happen; default 5")
    add("--every", type=_positive, default=3.0, metavar="SECONDS", help="a fault; default 3")
    add("--workers", type=_count, default=3, help="worker processes; default 3")
    add(
        "--faults",
        type=_kinds,
        default=tuple(Kind),
        metavar="KIND,…",
        help=f"beginnings of: {', '.join(Kind)}; all that can happen here, by default: "
        f"{Kind.DATABASE_KILL} only with PostgreSQL, {Kind.CLOCK} only with libfaketime",
    )
    add("--max-cost-usd", type=_usd, help="a budget for all jobs together")
    add("--short", action="store_true", help="5,000 jobs, 2 minutes")
    add("--json", type=Path, metavar="FILE", help="write all figures there as well")
    add("--keep", action="store_true", help="keep logs, rows and the provider's ledger")
    return parser


def _kinds(text: str) -> tuple[Kind, ...]:
    try:
        return chosen(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than one")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a length of time")
    return number


def _usd(text: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
