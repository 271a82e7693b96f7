"""What is measured: a case is one combination of store, latency, size, workers and calls in flight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

WARM_UP_JOBS = 500
"""Run before each measurement, by the system and by the bare loop alike.

They open connections and fill caches, so that a large batch and a small one differ in size alone.
"""


class Store(StrEnum):
    """Where rows and messages are."""

    SQLITE = "sqlite"
    """SQLite and the embedded Valkey."""
    POSTGRES = "postgres"
    """PostgreSQL and Redis, servers that run already."""


class Latency(StrEnum):
    """How long the simulated model thinks."""

    ZERO = "zero"
    CONSTANT = "200ms"
    TAIL = "tail"


SIMULATED: dict[Latency, str] = {
    Latency.ZERO: "constant:0",
    Latency.CONSTANT: "constant:200",
    Latency.TAIL: "lognormal:500,1,6000",
}
"""Each latency as the simulator's option; the tail is shaped like real providers', ten times faster."""


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """One thing to measure. `in_flight` is shared by all workers, and is what the bare loop gets."""

    store: Store
    latency: Latency
    workers: int
    jobs: int
    in_flight: int

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{self.store}, {self.latency}, {self.jobs:,} jobs, {workers}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The combinations to measure, each `repeat` times."""

    stores: Sequence[Store] = tuple(Store)
    latencies: Sequence[Latency] = tuple(Latency)
    workers: Sequence[int] = (1, 2)
    jobs: Sequence[int] = (10_000, 100_000)
    in_flight: int = 1000
    repeat: int = 1

    def cases(self, stores: Sequence[Store]) -> Iterator[Case]:
        """Yield the cases of these stores; sizes of one kind follow each other."""
        for store, latency, workers, jobs in product(
            stores, self.latencies, self.workers, self.jobs
        ):
            for _ in range(self.repeat):
                yield Case(store, latency, workers, jobs, self.in_flight)


SMALL = Plan(latencies=(Latency.ZERO,), workers=(1,), jobs=(2000,), in_flight=200)
"""What CI runs: whether the figures are right, not how large they are."""
