"""How much of a limit is used, and how often the provider has to say no: the judge is the simulator.

The whole system, its workers as processes, against enforced limits whose buckets begin empty; and for
comparison clients with a plain token bucket in each process. Both figures are the simulator's own.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from jobs.states import Outcome
from jobs.store import Database
from jobs.store.attempts.attempts import attempts_made
from scripts.benchmarks import child
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.configuration import configuration
from scripts.benchmarks.pacing_cases import AT_ONCE, THINKS, PacingCase, Way
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Place
from scripts.benchmarks.submission import accepted, submitting
from scripts.benchmarks.system import running_system

IN_FLIGHT = 300
"""Calls at once per process: several times what the limits allow within a call's half second."""

STARTS_WITHIN_S = 60.0

AHEAD = 1.2
"""So much more is submitted than can be used within the time that is looked at."""

Say = Callable[[str], None]
MeanLatency = Callable[[int], float | None]
"""How many milliseconds the answered calls of the last seconds took; None where nobody noted it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What the simulator saw. `share` is of the limit, over the `seconds` that were looked at.

    `latency_ms` is the mean of our answered calls in that time, None if they were not ours.
    """

    case: PacingCase
    seconds: int
    share: float
    refused: int
    admitted: int
    refused_late: int
    """Those within the seconds that were looked at."""
    latency_ms: float | None

    @property
    def breaks_a_promise(self) -> bool:
        """Whether a call of ours was refused although the limit was known."""
        is_known = self.case.way is Way.OURS and self.case.is_told and not self.case.others_rps
        return is_known and self.refused > 0


def measure_pace(case: PacingCase, seconds: int, warm_up_s: int, say: Say) -> Pace:
    """Measure a case once.

    Raises:
        ServiceUnavailable: something does not start, or no call arrives.
    """
    calling = _plain_clients if case.way is not Way.OURS else _our_workers
    with (
        running_provider(THINKS) as provider,
        calling(case, seconds + warm_up_s, provider) as mean_latency_ms,
    ):
        began = _first_second(provider)
        begin, end = began + warm_up_s, began + warm_up_s + seconds
        while (account := _account(provider))["now_s"] < end + 1:
            say(f"{max(0.0, account['now_s'] - began):.0f} of {warm_up_s + seconds} s")
            time.sleep(1.0)
        latency_ms = mean_latency_ms(seconds)
    return _pace(case, account, begin, end, latency_ms)


@contextmanager
def _our_workers(case: PacingCase, total_s: int, provider: Provider) -> Iterator[MeanLatency]:
    """Let the system work on a batch that outlasts the measurement."""
    runs = Case(Store.SQLITE, Latency.ZERO, case.workers, 0, IN_FLIGHT * case.workers)
    with running_system(runs, Place("", ""), _told(case, provider.url)) as system:
        _enforce(provider, case)
        jobs = round(case.quota.calls_s * AHEAD * total_s) + IN_FLIGHT
        with submitting(system.url, system.key_file, jobs) as process:
            batch_id = accepted(process).batch_id
        yield lambda seconds: _mean_latency_ms(system.database, batch_id, seconds)


@contextmanager
def _plain_clients(case: PacingCase, total_s: int, provider: Provider) -> Iterator[MeanLatency]:
    """Let clients with token buckets of their own call, as many as there would be workers."""
    _enforce(provider, case)
    limit = dict(case.quota.limits)[case.quota.dimension]
    part = limit if case.way is Way.EACH else limit / case.workers
    charge = "calls" if case.quota.dimension == "rpm" else "tokens"
    with ExitStack() as clients:
        for _ in range(case.workers):
            clients.enter_context(
                child.started(
                    "scripts.benchmarks.plain_bucket", provider.url, part, charge, total_s + 5
                )
            )
        yield lambda _: None


def _told(case: PacingCase, url: str) -> str:
    limits = dict(case.quota.limits) if case.is_told else {}
    charges = "max_output" if case.quota.protocol == "openai" else ""
    return configuration(url, limits, protocol=case.quota.protocol, charges=charges)


def _enforce(provider: Provider, case: PacingCase) -> None:
    """Begin anew, with empty buckets that fill from now on."""
    provider.forget()
    change = {"limits": [case.enforced()]}
    provider.client.post("/_sim/faults", json=change).raise_for_status()


def _account(provider: Provider) -> dict[str, Any]:
    account: dict[str, Any] = provider.client.get("/_sim/ledger/rate").raise_for_status().json()
    return account


def _first_second(provider: Provider) -> int:
    """Wait for the first call; return its second by the simulator's clock."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while not (account := _account(provider))["by_status"]:
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"no call within {STARTS_WITHIN_S:g} s")
        time.sleep(0.2)
    return int(account["now_s"])


def _mean_latency_ms(database: Database, batch_id: str, seconds: int) -> float:
    with database.read() as session:
        made = attempts_made(session, batch_id)
    late = made[-1].sent_at.timestamp() - seconds
    return mean(
        one.latency_ms
        for one in made
        if one.outcome == Outcome.SUCCEEDED and one.latency_ms and one.sent_at.timestamp() > late
    )


def _pace(
    case: PacingCase, account: dict[str, Any], begin: int, end: int, latency_ms: float | None
) -> Pace:
    statuses = account["by_status"]
    refusals, good = statuses.get("429", []), statuses.get("200", [])
    if case.quota.dimension in AT_ONCE:
        taken, allowed_s = good, case.quota.calls_s
    else:
        bound = account["limits"][0]["dimensions"][case.quota.dimension]
        taken, allowed_s = bound["taken"], bound["rate"] - case.others_rps
    return Pace(
        case=case,
        seconds=end - begin,
        share=sum(taken[begin:end]) / (allowed_s * (end - begin)),
        refused=sum(refusals),
        admitted=sum(good),
        refused_late=sum(refusals[begin:end]),
        latency_ms=latency_ms,
    )


def print_paces(output: Console, paces: Sequence[Pace]) -> None:
    """Print the figures as a table."""
    table = Table(
        "who",
        "limit",
        "known by",
        "burst",
        "processes",
        "share used",
        "429",
        "late 429",
        "answers",
        "latency",
    )
    for column in table.columns[3:]:
        column.justify = "right"
    for pace in paces:
        case = pace.case
        table.add_row(
            case.way,
            case.quota.name,
            case.known if case.way is Way.OURS else "configured",
            f"{case.burst_s:g} s",
            str(case.workers),
            f"{pace.share:.4f}",
            f"{pace.refused:,}",
            f"{pace.refused_late:,}",
            f"{pace.admitted:,}",
            "-" if pace.latency_ms is None else f"{pace.latency_ms:.0f} ms",
        )
    output.print(table)
