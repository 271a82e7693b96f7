"""What a provider's trouble in the middle of a batch costs: jobs, attempts, calls, and time after it.

The whole system at a limit that is enforced and configured. How fast calls arrive is the simulator's own
account; what was counted is in our books.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.errors import ServiceUnavailable
from jobs.states import FINAL_BATCH_STATES, Outcome
from jobs.store.attempts.attempts import attempts_made
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.configuration import configuration
from scripts.benchmarks.correctness import read_results
from scripts.benchmarks.pacing_cases import THINKS
from scripts.benchmarks.provider import Provider, running_provider
from scripts.benchmarks.stores import Place
from scripts.benchmarks.submission import accepted, submitting
from scripts.benchmarks.system import System, running_system
from scripts.benchmarks.trouble_cases import Trouble, TroublePlan
from scripts.command.client import Client, open_http

IN_FLIGHT = 400
"""Calls at once, over all workers: several times what the limit needs."""

GOES_BY_S = 10.0
"""From the beginning of a trouble, until which calls that left before it may still come back."""

BACK = 0.9
"""Of the rate: from then on all is well again."""

AVERAGED_S = 5
"""Seconds over which the rate is looked at."""

NEVER_S = 600.0
"""A batch that is not done so long after its trouble is stuck."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a trouble came to.

    `counted` are attempts that used up one of a job's without giving it an answer, `cut_off` those
    whose answer was lost and that count for nothing. `probes` left after the trouble's first moments,
    `closest_probes_s` apart at least. `back_s` is how long after its end the rate was back, None if
    it never was.
    """

    trouble: str
    jobs: int
    lasts_s: float
    findings: tuple[str, ...]
    counted: int
    cut_off: int
    probes: int
    closest_probes_s: float | None
    rate_before: float
    rate_after: float
    back_s: int | None
    said: str

    @property
    def breaks_a_promise(self) -> bool:
        """Whether a job failed, or has no or several results, or an attempt was counted."""
        return bool(self.findings) or self.counted > 0


def measure_trouble(trouble: Trouble, plan: TroublePlan, say: Say) -> Aftermath:
    """Let a batch meet a trouble, once.

    Raises:
        ServiceUnavailable: something does not start, or the batch does not end.
    """
    case = Case(Store.SQLITE, Latency.ZERO, plan.workers, plan.jobs, IN_FLIGHT)
    with (
        running_provider(THINKS) as provider,
        running_system(
            case, Place("", ""), configuration(provider.url, {"rpm": plan.calls_s * 60})
        ) as system,
    ):
        provider.forget()
        limit = {"rpm": plan.calls_s * 60, "burst_s": 1, "start": "empty"}
        _change(provider, {"limits": [limit]})
        with submitting(system.url, system.key_file, plan.jobs) as process:
            batch_id = accepted(process).batch_id
        key = system.key_file.read_text(encoding="utf-8").strip()
        with Client(open_http(system.url, key)) as client:
            return _Trial(trouble, plan, system, provider, client, batch_id, say).run()


@dataclass(frozen=True, slots=True)
class _Trial:
    """A running batch, and what is to happen to it."""

    trouble: Trouble
    plan: TroublePlan
    system: System
    provider: Provider
    client: Client
    batch_id: str
    say: Say

    def run(self) -> Aftermath:
        plan, lasts_s = self.plan, self.plan.lasts_s(self.trouble)
        self._wait(lambda batch: batch["counts"]["succeeded"] >= plan.jobs / 4, NEVER_S)
        before = _good_by_second(self.provider)
        began_s, began_at = len(before), time.time()
        _change(self.provider, self.trouble.begins(lasts_s))
        said = self._sit_out(began_at + lasts_s)
        if self.trouble.fault:
            _change(self.provider, {"faults": []})
        ended_at = time.time()
        batch = self._wait(lambda batch: batch["state"] in FINAL_BATCH_STATES, NEVER_S)
        results = read_results(self.client.results(self.batch_id, "finished"), plan.jobs)
        findings = list(results.findings)
        if batch["state"] != "completed":
            findings.append(f"the batch ended {batch['state']}")
        rates = _Rates(_good_by_second(self.provider), plan.calls_s)
        ended_s = began_s + round(ended_at - began_at)
        return Aftermath(
            self.trouble.name,
            plan.jobs,
            lasts_s,
            tuple(findings),
            *self._books(began_at, ended_at),
            rate_before=rates.between(began_s - 2 * AVERAGED_S, began_s - 1),
            rate_after=rates.between(ended_s + 30, ended_s + 30 + 2 * AVERAGED_S),
            back_s=rates.back_after(ended_s),
            said=said,
        )

    def _sit_out(self, until: float) -> str:
        """Wait for the trouble's end; return what the batch said meanwhile."""
        said = ""
        while (left_s := until - time.time()) > 0:
            self.say(f"in trouble for another {left_s:.0f} s: {said}")
            self.system.check_alive()
            time.sleep(min(1.0, left_s))
            said = self.client.batch(self.batch_id)["waiting_for"] or said
        return said

    def _wait(self, is_so: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while True:
            batch = self.client.batch(self.batch_id)
            if is_so(batch):
                return batch
            if time.monotonic() > deadline:
                raise ServiceUnavailable(f"the batch is stuck: {batch}")
            self.say(f"{batch['counts']['succeeded']:,} of {self.plan.jobs:,} jobs")
            self.system.check_alive()
            time.sleep(0.5)

    def _books(self, began_at: float, ended_at: float) -> tuple[int, int, int, float | None]:
        """Return what was counted, what was cut off, the probes, and how close two of them were."""
        with self.system.database.read() as session:
            made = attempts_made(session, self.batch_id)
        counted = sum(one.counts and one.outcome != Outcome.SUCCEEDED for one in made)
        cut_off = sum(not one.counts and one.outcome == Outcome.UNKNOWN for one in made)
        if any(one.outcome is None for one in made):
            raise ServiceUnavailable("a call of a finished batch is in flight")
        sent = [one.sent_at.timestamp() for one in made]
        probes = [at for at in sent if began_at + GOES_BY_S < at < ended_at]
        closest_s = min((later - earlier for earlier, later in pairwise(probes)), default=None)
        return counted, cut_off, len(probes), closest_s


class _Rates:
    """Good answers by second of the simulator, in parts of a limit per second."""

    def __init__(self, good: Sequence[int], calls_s: int) -> None:
        self._good, self._calls_s = good, calls_s

    def between(self, begin: int, end: int) -> float:
        """Return the mean over some seconds; over those that there are, if the run was shorter."""
        seen = self._good[max(0, begin) : end]
        return sum(seen) / max(1, len(seen)) / self._calls_s

    def back_after(self, moment: int) -> int | None:
        """Return after how many seconds the rate of the next ones is that of the limit again."""
        for second in range(moment, len(self._good) - AVERAGED_S):
            if self.between(second, second + AVERAGED_S) >= BACK:
                return second - moment
        return None


def _change(provider: Provider, change: dict[str, Any]) -> None:
    provider.client.post("/_sim/faults", json=change).raise_for_status()


def _good_by_second(provider: Provider) -> list[int]:
    account = provider.client.get("/_sim/ledger/rate").raise_for_status().json()
    good: list[int] = account["by_status"].get("200", [])
    return good + [0] * (int(account["now_s"]) - len(good))


def print_aftermaths(output: Console, aftermaths: Sequence[Aftermath]) -> None:
    """Print the figures as a table."""
    table = Table(
        "trouble",
        "lasts",
        "jobs",
        "wrong",
        "attempts counted",
        "cut off",
        "probes",
        "closest",
        "rate before",
        "30 s after",
        "back after",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for seen in aftermaths:
        closest_s = seen.closest_probes_s
        table.add_row(
            seen.trouble,
            f"{seen.lasts_s:g} s",
            f"{seen.jobs:,}",
            str(len(seen.findings)),
            str(seen.counted),
            str(seen.cut_off),
            str(seen.probes),
            "-" if closest_s is None else f"{closest_s:.1f} s",
            f"{seen.rate_before:.3f}",
            f"{seen.rate_after:.3f}",
            "never" if seen.back_s is None else f"{seen.back_s} s",
        )
    output.print(table)
