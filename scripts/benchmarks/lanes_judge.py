"""What a batch came to that went at half the price where it could: the simulator's rows are the judge."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from jobs.money import parse_usd
from scripts.benchmarks.correctness import Results
from scripts.benchmarks.lanes_cases import Story
from scripts.benchmarks.workload import INPUT_USD, OUTPUT_USD

NANOS_PER_TOKEN = 1000
"""At one dollar for a million tokens."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the provider's rows say; money in nano-dollars.

    `in_batches` are the lines that native batches ran, `rescued` the jobs that a live call answered, and
    `twice` those that were run more than once. `list_nanos` is what each job once would have cost live,
    `paid_nanos` what the provider billed for all of it, answers that nobody got included.
    """

    in_batches: int
    batches: int
    rescued: int
    twice: int
    unknown: int
    list_nanos: int
    paid_nanos: int
    spare_s: float
    findings: tuple[str, ...]

    @property
    def saved(self) -> float:
        """Which share of the list price was not paid."""
        return 1 - self.paid_nanos / self.list_nanos if self.list_nanos else 0.0


def judge_lanes(
    story: Story, batch: Json, balance: Json, results: Results, rows: Iterable[Json]
) -> Judgement:
    """Judge a batch that has ended.

    `balance` is our own account of it (`GET …/reconciliation`), `rows` the simulator's.
    """
    of_jobs: dict[str, list[Json]] = defaultdict(list)
    for row in rows:
        of_jobs[row["job_id"]].append(row)
    calls = [row for found in of_jobs.values() for row in found]
    unknown = balance["unknown"]["attempts"]
    deadline, ended = (datetime.fromisoformat(batch[name]) for name in ("deadline", "finished_at"))
    spare_s = (deadline - ended).total_seconds()
    judgement = Judgement(
        in_batches=sum(row["lane"] == "batch" for row in calls),
        batches=len({row["batch"] for row in calls if row["batch"]}),
        rescued=sum(row["lane"] == "live" and row["answered"] for row in calls),
        twice=sum(max(0, sum(map(_is_billed, found)) - 1) for found in of_jobs.values()),
        unknown=unknown,
        list_nanos=sum(_list_nanos(found) for found in of_jobs.values()),
        paid_nanos=sum(row["cost_nanos"] for row in calls),
        spare_s=spare_s,
        findings=results.findings,
    )
    findings = [
        *results.findings,
        *_of_the_batch(batch, balance),
        *_of_money(batch, balance, list(of_jobs.values())),
        *_of_the_story(story, judgement, batch["counts"]["total"]),
    ]
    return Judgement(**{**_fields(judgement), "findings": tuple(findings)})


def _fields(judgement: Judgement) -> dict[str, Any]:
    return {name: getattr(judgement, name) for name in Judgement.__slots__}


def _is_billed(row: Json) -> bool:
    return bool(row["cost_nanos"])


def _list_nanos(rows: Sequence[Json]) -> int:
    """Return what a job's first billed row would have cost live; these jobs write no prompt cache."""
    row = next(filter(_is_billed, rows), None)
    if row is None:
        return 0
    prices = (Decimal(INPUT_USD), Decimal(OUTPUT_USD))
    tokens = (row["input_tokens"], row["output_tokens"])
    return int(sum(p * n for p, n in zip(prices, tokens, strict=True)) * NANOS_PER_TOKEN)


def _of_the_batch(batch: Json, balance: Json) -> Iterable[str]:
    if batch["state"] != "completed":
        yield f"the batch ended {batch['state']}"
    for violation in balance["violations"]:
        yield f"{violation['code']}: {violation['message']}"
    if not balance["balances"]:
        yield "our own account doesn't balance"
    if parse_usd(batch["reserved_usd"]):
        yield f"${batch['reserved_usd']} are reserved for nothing"


def _of_money(batch: Json, balance: Json, of_jobs: Sequence[Sequence[Json]]) -> Iterable[str]:
    """What we booked is what was answered, each job once, and our unknown attempts at their worst.

    Of a job that was answered in both lanes, we hold one answer, and the other's attempt is unknown.
    """
    unknown = balance["unknown"]
    ours = parse_usd(batch["cost_usd"]) - parse_usd(unknown["cost_usd"])
    least = most = lost = 0
    for rows in of_jobs:
        answers = [row["cost_nanos"] for row in rows if row["answered"] and _is_billed(row)]
        least += min(answers, default=0)
        most += max(answers, default=0)
        lost += max(0, sum(map(_is_billed, rows)) - min(1, len(answers)))
    if not least <= ours <= most:
        yield f"we booked {ours:,} nano-dollars, the provider answered for {least:,} to {most:,}"
    if lost > unknown["attempts"]:
        yield f"{lost} billed answers that we don't hold, and {unknown['attempts']} unknown attempts"


def _of_the_story(story: Story, judgement: Judgement, jobs: int) -> Iterable[str]:
    if story.must_be_in_time and judgement.spare_s < 0:
        yield f"{-judgement.spare_s:.1f} s late"
    if story.must_save and judgement.saved < story.must_save:
        yield f"{judgement.saved:.1%} of the list price saved, of {story.must_save:.0%}"
    if not judgement.in_batches:
        yield "nothing went at half the price"
    if story.stall < 1 and not judgement.rescued:
        yield "nothing was rescued"
    if story.stall < 1 and judgement.in_batches >= jobs:
        yield "the native batches did not stall"
