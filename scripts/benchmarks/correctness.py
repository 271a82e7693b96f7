"""Whether a measurement was of the right thing: one result for each job, and sums that all agree.

The simulator's ledger is the judge. Results, the batch's totals and our own ledger answer to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from jobs.money import parse_usd
from scripts.benchmarks.workload import job_number, mark

SHOWN = 3
"""Ids of wrong results that a finding names; it always counts them all."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What some account has of a batch: answered calls, tokens (cached ones included) and money."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class Results:
    """What the lines of a batch's results come to; `findings` says what is wrong with them."""

    sums: Sums
    findings: tuple[str, ...]


def read_results(lines: Iterable[bytes], jobs: int) -> Results:
    """Add up the results of a batch of `jobs`, and check that each job has exactly one good one."""
    times = bytearray(jobs)
    wrong: dict[str, list[str]] = {}
    calls = input_tokens = output_tokens = cost_nanos = 0
    for raw in lines:
        result = orjson.loads(raw)
        custom_id = result["custom_id"]
        number = job_number(custom_id)
        if number is None or number >= jobs:
            wrong.setdefault("results of unknown jobs", []).append(custom_id)
            continue
        times[number] = min(2, times[number] + 1)
        if result["status"] != "succeeded":
            wrong.setdefault("jobs that did not succeed", []).append(custom_id)
        elif not str(result["output"]).startswith(mark(custom_id)):
            wrong.setdefault("answers to another job", []).append(custom_id)
        calls += result["attempts"]
        sums = sums_of_usage(result["usage"] or {}, 0, result["cost_usd"] or "0")
        input_tokens += sums.input_tokens
        output_tokens += sums.output_tokens
        cost_nanos += sums.cost_nanos
    for what, count in (("jobs without a result", 0), ("jobs with several results", 2)):
        if found := times.count(count):
            wrong[what] = [str(times.index(count))] * found
    findings = tuple(
        f"{len(ids):,} {what}: {', '.join(ids[:SHOWN])}" for what, ids in wrong.items()
    )
    return Results(Sums(calls, input_tokens, output_tokens, cost_nanos), findings)


def sums_of_usage(usage: Mapping[str, int], calls: int, cost_usd: str) -> Sums:
    """Return the sums of a usage as the API has it, whose three input counts are disjoint."""
    names = ("input_tokens", "cached_input_tokens", "cache_write_tokens")
    total_input = sum(usage.get(name, 0) for name in names)
    return Sums(calls, total_input, usage.get("output_tokens", 0), parse_usd(cost_usd))


def difference(after: Sums, before: Sums) -> Sums:
    """Return what was added between two readings of one account."""
    return Sums(
        after.calls - before.calls,
        after.input_tokens - before.input_tokens,
        after.output_tokens - before.output_tokens,
        after.cost_nanos - before.cost_nanos,
    )


def judge(summary: Mapping[str, Any], jobs: int, accounts: Mapping[str, Sums]) -> list[str]:
    """Return where the simulator's summary and our accounts (by name) disagree; empty is right."""
    truth = Sums(
        summary["answered"],
        summary["tokens"]["input"],
        summary["tokens"]["output"],
        summary["cost_nanos"],
    )
    findings = [
        f"{name}: {account} where the provider has {truth}"
        for name, account in accounts.items()
        if account != truth
    ]
    for what in ("requests", "answered", "job_ids_answered"):
        if summary[what] != jobs:
            findings.append(f"the provider counts {summary[what]:,} {what} for {jobs:,} jobs")
    if not truth.cost_nanos:
        findings.append("nothing had a price, so no sum of money was compared")
    return findings
