"""The headline: how everything stands, and what of it a person must look at."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.dashboard.holdups import explain
from api.dashboard.standing import Standing, Tone, headline
from jobs.clock import utcnow
from jobs.outlook import Outlook, Range
from jobs.pools import PoolState
from jobs.states import BatchState, PauseCause
from jobs.store.results.arrivals import Pace
from jobs.tables import Batch

MOVES = Pace(10.0, 0.1)
STILL = Pace(0.1, 900.0)

OUTLOOK = Outlook(Range(60.0, 120.0), Range(0, 0))


def standing(
    state: BatchState = BatchState.RUNNING,
    moves: Pace = MOVES,
    waits: str | None = None,
    top_reason: str | None = None,
    **fields: Any,
) -> Standing:
    now = utcnow()
    is_final = state in {BatchState.COMPLETED, BatchState.CANCELLED}
    batch = Batch(
        ref="bat_1",
        project_id=1,
        state=state,
        priority="normal",
        defaults="{}",
        created_at=now,
        touched_at=now,
        finished_at=now if is_final else None,
        **{"total_jobs": 1000, "name": "night", **fields},
    )
    return Standing(batch, moves, waits, top_reason, outlook=OUTLOOK)


DONE = standing(BatchState.COMPLETED, succeeded=1000)


def test_a_night_that_went_well_is_told_as_good() -> None:
    told = headline([DONE, DONE, DONE])
    assert (told.tone, told.sentence) == (Tone.GOOD, "3 batches done.")


def test_runs_are_told_first_and_their_trouble_sets_the_tone() -> None:
    told = headline([DONE], ["2 runs done", "1 run failed"], Tone.BAD)
    assert (told.tone, told.sentence) == (Tone.BAD, "2 runs done, 1 run failed, 1 batch done.")


def test_what_waits_is_told_with_its_reason_in_short() -> None:
    reason = (
        "openai/main is paused until 07:10 UTC: quota_exhausted: HTTP 429: You exceeded your quota"
    )
    held = standing(moves=Pace(), waits=reason)
    told = headline([DONE, DONE, DONE, held])
    assert told.sentence == "3 batches done, 1 waits: openai/main is paused until 07:10 UTC."
    assert told.tone is Tone.CAUTION
    assert held.concern == f"waits: {reason}"


def test_what_runs_is_told_with_the_time_that_is_left() -> None:
    told = headline([standing(succeeded=400)])
    assert told.sentence == "1 at work, 60 s to 2 min left."
    assert told.tone is Tone.GOOD


def test_who_is_slow_but_moves_does_not_wait() -> None:
    slow = standing(
        waits="anthropic/main is at its limit of requests per minute (240)", in_flight=2
    )
    assert not slow.is_held
    assert slow.slowed_by is not None
    assert slow.concern is None
    still = standing(waits="anthropic/main is at its limit", moves=STILL)
    assert still.is_held
    assert (still.pace, still.time_left_s) == (None, None)


def test_many_failures_are_told_with_their_reason() -> None:
    failing = standing(succeeded=60, failed=40, top_reason="schema_violation")
    assert failing.concern == "40 % of its jobs that ended failed, most with schema_violation"
    assert failing.tone is Tone.CAUTION
    worse = standing(BatchState.COMPLETED, succeeded=400, failed=600)
    assert worse.tone is Tone.BAD
    told = headline([worse, DONE])
    assert told.tone is Tone.BAD
    assert told.sentence == "2 batches done (600 of 2,000 jobs failed)."


def test_a_few_failures_are_no_concern() -> None:
    assert standing(succeeded=999, failed=1).concern is None
    assert standing(failed=5).concern is None


@pytest.mark.parametrize(
    ("spent", "is_told"), [(500_000_000, False), (900_000_000, True), (1_000_000_000, True)]
)
def test_a_budget_that_is_nearly_gone_is_told(spent: int, is_told: bool) -> None:
    batch = standing(max_cost_nanos=1_000_000_000, spent_nanos=spent)
    assert (batch.concern is not None) == is_told


def test_a_pause_of_the_owner_is_no_trouble() -> None:
    paused = standing(BatchState.PAUSED, waits="paused by its owner", pause_cause=PauseCause.OWNER)
    assert paused.concern is None
    told = headline([paused])
    assert (told.tone, told.sentence) == (Tone.GOOD, "1 waits: paused by its owner.")


def test_a_reason_that_several_share_is_told_once() -> None:
    reason = "gemini/main is paused until 07:10 UTC: quota_exhausted"
    held = [standing(moves=Pace(), waits=reason) for _ in range(3)]
    assert headline(held).sentence.count("gemini/main") == 1


def test_nothing_is_told_as_nothing() -> None:
    assert headline([]).tone is Tone.QUIET


def test_between_two_tries_the_pool_tells_why() -> None:
    between = replace(
        standing(moves=Pace(), waits="its next try, at 06:01:02 UTC"), tried_at="openai"
    )
    until = utcnow().replace(hour=7, minute=10)
    blocked = pool("openai", blocked_until=until, reason="quota_exhausted: HTTP 429")
    told = explain(between, [pool("mistral", blocked_until=until), pool("openai"), blocked])
    assert told.waits == "openai/main is paused until 07:10 UTC: quota_exhausted: HTTP 429"
    assert headline([told]).sentence == "1 waits: openai/main is paused until 07:10 UTC."
    assert explain(between, [pool("openai")]) == between


def pool(provider: str, **fields: Any) -> PoolState:
    return PoolState(
        **{
            "provider": provider,
            "pool": "main",
            "models": None,
            "dimensions": (),
            "in_flight": 0,
            "in_flight_limit": None,
            "binding": None,
            "breaker": "closed",
            "blocked_until": None,
            "reason": None,
            "trust": 1.0,
            "found_per_s": None,
            "found_in_flight": None,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("minutes", "sentence", "tone"),
    [
        (10, "ready ", Tone.GOOD),
        (1.5, ": it may be late", Tone.CAUTION),
        (0.5, ": late by ", Tone.BAD),
    ],
)
def test_a_forecast_is_held_against_the_deadline(minutes: float, sentence: str, tone: Tone) -> None:
    told = standing(succeeded=400, deadline=utcnow() + timedelta(minutes=minutes))
    assert sentence in (told.timing_sentence or "")
    assert told.timing_tone is tone
    assert (told.concern is not None) == (tone is not Tone.GOOD)


def test_a_deadline_was_kept_or_missed() -> None:
    now = utcnow()
    kept = standing(BatchState.COMPLETED, succeeded=1000, deadline=now + timedelta(hours=1))
    late = standing(BatchState.COMPLETED, succeeded=1000, deadline=now - timedelta(hours=1))
    assert (kept.timing_tone, late.timing_tone) == (Tone.GOOD, Tone.BAD)
    assert (late.timing_sentence or "").endswith("missed by 1 h")
    assert standing().timing_sentence is None
