"""What a sample tells about all jobs: a quote's range from what some of them really took. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

from jobs.money import format_usd, parse_usd
from scripts.command.render import JsonObject

CONFIDENCE = 0.99
"""How often the range holds, if the sample is like the rest: a quote is believed once and paid for."""

FEWEST = 5
"""Jobs of a sample that spread can be told from."""

LEAST_DOUBT = 0.02
"""Of a mean: a sample whose jobs are all alike doesn't say that all the others are."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A range in which a sum over all jobs lies."""

    low: float
    high: float


def student_t(degrees: int) -> float:
    """Return the two-sided quantile of Student's t at `CONFIDENCE`.

    By its expansion around the normal one (Abramowitz and Stegun 26.7.5): 1.3 % too small with the
    four degrees of freedom of `FEWEST`, and less with more.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum((term / float(degrees**power) for power, term in enumerate(terms)), 0.0)


def interval(sample: Sequence[float], total: int) -> Interval | None:
    """Return where the sum over `total` jobs lies; None if the sample is too small to tell."""
    if len(sample) < FEWEST:
        return None
    mean, size = fmean(sample), len(sample)
    # What was sampled is known: of a sample of everything nothing is in doubt.
    unseen = max(0.0, 1 - size / total)
    doubt = student_t(size - 1) * stdev(sample) / math.sqrt(size) * math.sqrt(unseen)
    doubt = max(doubt, LEAST_DOUBT * mean)
    return Interval(max(0.0, total * (mean - doubt)), total * (mean + doubt))


def refine(quote: JsonObject, batch: JsonObject, results: Sequence[JsonObject]) -> JsonObject:
    """Return what the sample tells of all jobs, as it is printed with --json.

    `batch` and `results` are the sample's. Its jobs that were called for stand for all that will be;
    what their bad answers cost is in it. `cost_usd` is null where a price is missing, or where there
    are too few jobs, and is never above the worst case. Shares are of one.
    """
    called = [result for result in results if result["attempts"]]
    jobs = sum(target["jobs"] for target in quote["targets"])
    output = [float(result["usage"]["output_tokens"]) for result in called if result["usage"]]
    costs = [result["cost_usd"] for result in called]
    cost = None if None in costs else interval([float(parse_usd(usd)) for usd in costs], jobs)
    calls = sum(result["attempts"] for result in called)
    return {
        "sampled_jobs": len(called),
        "jobs": jobs,
        "confidence": CONFIDENCE,
        "output_tokens_per_job": None
        if len(output) < FEWEST
        else {"mean": round(fmean(output), 1), "deviation": round(stdev(output), 1)},
        "output_tokens": _rounded(interval(output, jobs)),
        "cost_usd": None if cost is None else _usd(cost, quote["worst_cost_usd"]),
        "failed_jobs": batch["counts"]["failed"],
        "bad_answers": batch["bad_answers"],
        "bad_answer_share": round(batch["bad_answers"] / calls, 4) if calls else 0.0,
        "bad_answers_cost_usd": batch["bad_answers_cost_usd"],
    }


def _rounded(found: Interval | None) -> JsonObject | None:
    if found is None:
        return None
    return {"low": math.floor(found.low), "high": math.ceil(found.high)}


def _usd(found: Interval, worst_usd: str | None) -> JsonObject:
    low_nanos, high_nanos = math.floor(found.low), math.ceil(found.high)
    if worst_usd is not None:
        high_nanos = min(high_nanos, parse_usd(worst_usd))
    return {"low": format_usd(min(low_nanos, high_nanos)), "high": format_usd(high_nanos)}
