"""What the benchmark of the half-price lane finds wrong, and how it adds up."""

from dataclasses import replace
from typing import Any

import pytest

from scripts.benchmarks.arguments import parse_arguments
from scripts.benchmarks.cases import Store
from scripts.benchmarks.correctness import Results, Sums
from scripts.benchmarks.lanes import stories_of
from scripts.benchmarks.lanes_cases import SMALL_LANES, STORIES, LanesPlan
from scripts.benchmarks.lanes_judge import Judgement, judge_lanes

ENOUGH, STALLS, KILLED = STORIES.values()
GOOD = Results(Sums(3, 30, 30, 0), ())
LIST_NANOS = 10 * 100 + 10 * 400

Json = dict[str, Any]


def row(job_id: str, lane: str = "batch", **changes: Any) -> Json:
    cost_nanos = LIST_NANOS // 2 if lane == "batch" else LIST_NANOS
    found = {
        "job_id": job_id,
        "lane": lane,
        "batch": "b1" if lane == "batch" else "",
        "answered": True,
        "input_tokens": 10,
        "output_tokens": 10,
        "cost_nanos": cost_nanos,
    }
    return found | changes


def a_batch(rows: list[Json], **changes: Any) -> Json:
    nanos = sum(found["cost_nanos"] for found in rows)
    found = {
        "state": "completed",
        "deadline": "2026-11-28T06:00:00Z",
        "finished_at": "2026-11-28T05:59:50Z",
        "cost_usd": f"{nanos / 10**9:.9f}",
        "reserved_usd": "0",
        "counts": {"total": 3},
    }
    return found | changes


def a_balance(unknown: int = 0, cost_usd: str = "0", **changes: Any) -> Json:
    sums = {"attempts": unknown, "cost_usd": cost_usd}
    return {"unknown": sums, "violations": [], "balances": True} | changes


ALL_IN_BATCH = [row("a"), row("b"), row("c")]
ONE_RESCUED = [row("a"), row("b"), row("c", "live")]


def judged(
    rows: list[Json], story: Any = ENOUGH, balance: Json | None = None, **changes: Any
) -> Judgement:
    return judge_lanes(story, a_batch(rows, **changes), balance or a_balance(), GOOD, rows)


def test_all_in_native_batches_saves_half() -> None:
    found = judged(ALL_IN_BATCH)
    assert (found.saved, found.spare_s, found.findings) == (0.5, 10.0, ())
    assert (found.in_batches, found.batches, found.rescued, found.twice) == (3, 1, 0, 0)


def test_a_rescue_is_one_answer_for_each_job_in_either_lane() -> None:
    found = judged(ONE_RESCUED, STALLS)
    assert (found.in_batches, found.rescued, found.findings) == (2, 1, ())


@pytest.mark.parametrize(
    ("finding", "changes"),
    [
        ("12.0 s late", {"finished_at": "2026-11-28T06:00:12Z"}),
        ("the batch ended expired", {"state": "expired"}),
        ("are reserved for nothing", {"reserved_usd": "0.1"}),
        ("we booked 1 nano-dollars", {"cost_usd": "0.000000001"}),
        ("doesn't balance", {"balance": a_balance(balances=False)}),
        ("lost: a job", {"balance": a_balance(violations=[{"code": "lost", "message": "a job"}])}),
    ],
)
def test_what_is_wrong_with_the_books_or_the_clock_is_found(
    finding: str, changes: dict[str, Any]
) -> None:
    (found,) = judged(ALL_IN_BATCH, **changes).findings
    assert finding in found


def test_an_answer_that_nobody_holds_must_be_an_unknown_attempt() -> None:
    rows = [*ALL_IN_BATCH, row("c", "live", answered=False)]
    booked = a_batch(ALL_IN_BATCH)["cost_usd"]
    (finding,) = judged(rows, replace(ENOUGH, must_save=0), cost_usd=booked).findings
    assert "1 billed answers that we don't hold" in finding
    known = a_balance(1, "0.000005000")
    found = judged(rows, replace(ENOUGH, must_save=0), known, cost_usd="0.000012500")
    assert (found.findings, found.twice, found.unknown) == ((), 1, 1)


def test_a_story_that_did_not_happen_is_told() -> None:
    assert judged(ONE_RESCUED).findings == ("33.3% of the list price saved, of 45%",)
    assert judged([row(name, "live") for name in "abc"], KILLED).findings == (
        "nothing went at half the price",
    )
    stalled = judged(ALL_IN_BATCH, STALLS).findings
    assert stalled == ("nothing was rescued", "the native batches did not stall")


def test_only_those_who_must_be_in_time_are_late() -> None:
    assert judged(ONE_RESCUED, KILLED, finished_at="2026-11-28T06:00:12Z").findings == ()


def test_the_command_line_chooses_stories_stores_and_protocols() -> None:
    words = "lanes --jobs 40 --protocols openai,gemini --store sqlite,postgres --only time"
    plan = parse_arguments(words.split()).lanes
    assert (plan.jobs, plan.protocols, plan.stories) == (40, ("openai", "gemini"), ("time enough",))
    assert len(stories_of(plan)) == 4
    assert parse_arguments(["lanes"]).lanes == LanesPlan()
    assert parse_arguments(["lanes", "--small"]).lanes == SMALL_LANES
    assert LanesPlan().stores == (Store.SQLITE,)
