"""The way of a job, path by path: what happened, what the books say, what the gate is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func
from sqlmodel import select

from jobs.errors import (
    AuthenticationFailed,
    ConnectFailed,
    MalformedReply,
    Overloaded,
    ProviderError,
    RateLimited,
    RequestRejected,
    ServerFailed,
    TimedOut,
)
from jobs.exchange import Usage
from jobs.states import BatchState, Outcome, Priority, SliceState
from jobs.store import now
from jobs.store.attempts.attempt_conditions import COUNTS
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.leases.slices import LONGEST_WAIT_S
from jobs.tables import Attempt
from tests.support.eventually import eventually_async
from tests.support.workshop import Reply, Workshop, line, make_impatient, workshop
from workers.gate.gate import ComeBack, Ending, PoolId
from workers.job import job_run
from workers.job.blame import FEW
from workers.job.job_run import JOURNAL_AHEAD_S
from workers.slices.permits import Permits
from workers.slices.vigil import WATCHING_SLICES

USAGE = Usage(input_tokens=3, output_tokens=2)
REFUSALS: dict[str, tuple[Reply, type[ProviderError], Outcome]] = {
    "a rate limit": (httpx.Response(429), RateLimited, Outcome.LIMITED),
    "an overload": (httpx.Response(529), Overloaded, Outcome.LIMITED),
    "a refused key": (httpx.Response(401), AuthenticationFailed, Outcome.LIMITED),
    "no connection": (httpx.ConnectError("refused"), ConnectFailed, Outcome.UNSENT),
}
FAILURES: dict[str, tuple[Reply, type[ProviderError], Outcome]] = {
    "a server's failure": (httpx.Response(500), ServerFailed, Outcome.FAILED),
    "a call without an end": (httpx.ReadTimeout("late"), TimedOut, Outcome.UNKNOWN),
    "a reply of nonsense": (httpx.Response(200, content=b"?"), MalformedReply, Outcome.UNKNOWN),
}
A_MOMENT = ComeBack(0.001, "the limit of first/blue is reached")
A_BREAK = ComeBack(3_600.0, "first/blue is paused until noon", is_blocked=True)


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    make_impatient(monkeypatch)
    async with workshop(tmp_path) as shop:
        yield shop


async def until(condition: Callable[[], object]) -> None:
    async def is_so() -> bool:
        return bool(condition())

    await eventually_async(is_so)


def sent(ending: Ending) -> tuple[bool, Usage | None, type[ProviderError] | None]:
    return ending.sent, ending.usage, None if ending.error is None else type(ending.error)


UNSENT = Ending(sent=False)
ANSWERED = (True, USAGE, None)


async def test_an_answered_call_is_journaled_for_its_pool_settled_and_told(shop: Workshop) -> None:
    ref = shop.submit([line()])
    await shop.run(ref)
    [ending] = shop.gate.endings
    assert sent(ending) == ANSWERED
    assert ending.latency_s is not None
    [attempt] = shop.attempts()
    assert (attempt.provider, attempt.pool, attempt.model) == ("first", "blue", "small")
    assert attempt.outcome == Outcome.SUCCEEDED
    assert shop.batch(ref).state == BatchState.COMPLETED


@pytest.mark.parametrize("happened", REFUSALS)
async def test_a_refusal_is_told_to_the_gate_which_is_asked_again_and_counts_nothing(
    shop: Workshop, happened: str
) -> None:
    reply, error, outcome = REFUSALS[happened]
    refusals = shop.parts.settings.max_attempts + 2
    shop.provider.replies.extend([reply] * refusals)
    await shop.run(shop.submit([line()]))
    assert [sent(ending) for ending in shop.gate.endings] == [
        *[(True, None, error)] * refusals,
        ANSWERED,
    ]
    assert len(shop.gate.asked) == refusals + 1
    assert shop.outcomes() == [outcome] * refusals + [Outcome.SUCCEEDED]


@pytest.mark.parametrize("happened", FAILURES)
async def test_a_failure_is_an_attempt_and_the_last_one_is_the_jobs_result(
    shop: Workshop, happened: str
) -> None:
    reply, error, outcome = FAILURES[happened]
    most = shop.parts.settings.max_attempts
    shop.provider.replies.extend([reply] * most)
    await shop.run(shop.submit([line()]))
    assert [sent(ending) for ending in shop.gate.endings] == [(True, None, error)] * most
    assert shop.outcomes() == [outcome] * most
    assert [result.error_code for result in shop.results()] == [error.code]


@pytest.mark.parametrize("happened", FAILURES)
async def test_a_probe_that_fails_is_the_pools_matter(shop: Workshop, happened: str) -> None:
    reply, _error, outcome = FAILURES[happened]
    most = shop.parts.settings.max_attempts
    shop.gate.probes = most
    shop.provider.replies.extend([reply] * most)
    await shop.run(shop.submit([line()]))
    seen = Outcome.LIMITED if outcome is Outcome.FAILED else outcome
    assert shop.outcomes() == [seen] * most + [Outcome.SUCCEEDED]
    assert counted(shop) == 0


@pytest.mark.parametrize("happened", FAILURES)
async def test_an_outage_that_meets_many_jobs_counts_for_none(
    shop: Workshop, happened: str
) -> None:
    reply, _error, _outcome = FAILURES[happened]
    jobs, rounds = FEW + 2, shop.parts.settings.max_attempts + 1
    shop.provider.replies.extend([reply] * jobs * rounds)
    await shop.run(shop.submit([line(str(n)) for n in range(jobs)]))
    assert [result.error_code for result in shop.results()] == [None] * jobs
    assert len(shop.attempts()) == jobs * (rounds + 1)
    assert counted(shop) == 0
    assert not any(ending.spares_pool for ending in shop.gate.endings)


async def test_a_job_that_fails_beside_others_that_are_answered_says_nothing_of_its_pool(
    shop: Workshop,
) -> None:
    most = shop.parts.settings.max_attempts

    async def another_is_answered() -> None:
        asyncio.get_running_loop().call_later(
            0.01, shop.parts.blame.answered, PoolId("first", "blue"), 0.0
        )

    shop.provider.before = another_is_answered
    shop.provider.replies.extend([httpx.Response(500)] * most)
    await shop.run(shop.submit([line()]))
    assert shop.outcomes() == [Outcome.FAILED] * most
    assert [ending.spares_pool for ending in shop.gate.endings] == [False] + [True] * (most - 1)


def counted(shop: Workshop) -> int:
    """Return how many attempts the next lease would count, over all jobs."""
    with shop.database.read() as session:
        return session.exec(select(func.count()).select_from(Attempt).where(COUNTS)).one()


async def test_a_job_that_is_rejected_fails_without_another_ask(shop: Workshop) -> None:
    shop.provider.replies.append(httpx.Response(400))
    await shop.run(shop.submit([line()]))
    assert [sent(ending) for ending in shop.gate.endings] == [(True, None, RequestRejected)]
    assert len(shop.gate.asked) == 1
    assert shop.outcomes() == [Outcome.REJECTED]


async def test_a_job_that_has_to_wait_for_pace_asks_again_within_its_lease(shop: Workshop) -> None:
    shop.gate.answers.extend([A_MOMENT] * 3)
    await shop.run(shop.submit([line()]))
    assert len(shop.gate.asked) == 4
    assert [sent(ending) for ending in shop.gate.endings] == [ANSWERED]


async def test_a_call_leaves_at_its_start_and_not_before_it_is_journaled(shop: Workshop) -> None:
    loop, left_at = asyncio.get_running_loop(), []
    journaled: list[int] = []

    async def look() -> None:
        left_at.append(loop.time())
        journaled.append(len(shop.attempts()))

    shop.provider.before = look
    shop.gate.start_in_s = 3 * JOURNAL_AHEAD_S
    await shop.run(shop.submit([line()]))
    [grant] = shop.gate.granted
    assert left_at[0] >= grant.start_at
    assert journaled == [1]


async def test_a_start_in_the_past_waits_for_the_journal_all_the_same(shop: Workshop) -> None:
    journaled: list[int] = []

    async def look() -> None:
        journaled.append(len(shop.attempts()))

    shop.provider.before = look
    shop.gate.start_in_s = -5.0
    await shop.run(shop.submit([line()]))
    assert journaled == [1]


async def test_the_start_of_a_batch_that_rests_is_given_back(shop: Workshop) -> None:
    ref = shop.submit([line()])
    _opened, run = shop.open(ref)
    with shop.database.write() as session:
        batches.move(session, 1, ref, BatchState.PAUSED)
    await run.run()
    assert shop.gate.endings == [UNSENT]
    assert shop.attempts() == []
    assert shop.provider.seen == []
    assert shop.slice().state == SliceState.WAITING


async def test_the_start_of_a_slice_that_another_worker_has_is_given_back(shop: Workshop) -> None:
    ref = shop.submit([line()])
    opened, run = shop.open(ref)
    with shop.database.write() as session:
        leases.give_back(session, opened.lease)
    await run.run()
    assert opened.lease_lost
    assert shop.gate.endings == [UNSENT]
    assert shop.provider.seen == []


async def test_a_job_without_room_in_the_budget_asks_again_when_there_is_some(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_run, "ROOM_S", 0.01)
    most_nanos = 45_000  # a call may cost 36,000, and its answer costs 5,000
    ref = shop.submit([line("a"), line("b")], max_cost_nanos=most_nanos)
    answered = asyncio.Event()
    shop.provider.before = answered.wait
    running = asyncio.create_task(shop.run(ref))
    await until(lambda: UNSENT in shop.gate.endings)
    answered.set()
    await running
    assert shop.outcomes() == [Outcome.SUCCEEDED] * 2
    assert len(shop.provider.seen) == 2
    assert shop.batch(ref).spent_nanos <= most_nanos


async def test_a_slice_that_closes_before_the_start_journals_nothing(shop: Workshop) -> None:
    shop.gate.start_in_s = 0.3
    opened, run = shop.open(shop.submit([line()]))
    running = asyncio.create_task(run.run())
    await until(lambda: shop.gate.granted)
    opened.close()
    await running
    assert shop.gate.endings == [UNSENT]
    assert shop.attempts() == []
    assert shop.slice().state == SliceState.WAITING


async def test_a_slice_that_closes_between_journal_and_start_sends_nothing(shop: Workshop) -> None:
    shop.gate.start_in_s = 0.09
    opened, run = shop.open(shop.submit([line()]))
    running = asyncio.create_task(run.run())
    await until(shop.attempts)
    opened.close()
    await running
    assert shop.provider.seen == []
    assert shop.gate.endings == [UNSENT]
    assert shop.outcomes() == [Outcome.UNSENT]


async def test_a_slice_that_closes_calls_its_jobs_off_from_the_gate_at_once(
    shop: Workshop,
) -> None:
    shop.gate.is_open.clear()
    opened, run = shop.open(shop.submit([line(str(n)) for n in range(20)]))
    running = asyncio.create_task(run.run())
    await until(lambda: len(shop.gate.asked) == 20)
    opened.close()
    async with asyncio.timeout(2.0):
        await running
    assert shop.gate.called_off == 20
    assert shop.slice().state == SliceState.WAITING


async def test_a_call_that_is_aborted_was_sent_and_nobody_knows_more(shop: Workshop) -> None:
    shop.provider.before = partial(asyncio.sleep, 30.0)
    _opened, run = shop.open(shop.submit([line()]))
    running = asyncio.create_task(run.run())
    await until(lambda: shop.provider.seen)
    run.abort()
    await running
    assert shop.gate.endings == [Ending(sent=True, cut_off=True)]
    assert shop.outcomes() == [Outcome.UNKNOWN]


async def test_a_job_that_is_aborted_before_its_start_gives_it_back(shop: Workshop) -> None:
    shop.gate.start_in_s = 30.0
    _opened, run = shop.open(shop.submit([line()]))
    running = asyncio.create_task(run.run())
    await until(lambda: shop.gate.granted)
    run.abort()
    await running
    assert shop.gate.endings == [UNSENT]
    assert shop.attempts() == []


async def test_a_provider_that_has_to_be_waited_for_holds_up_no_other(shop: Workshop) -> None:
    """There are as many jobs at the gate of the one as there are berths, several times over."""
    slow = shop.submit([line(str(n)) for n in range(40)])
    fast = shop.submit([line(str(n), "second/tiny") for n in range(40)])
    shop.gate.is_open.clear()
    opened, run = shop.open(slow)
    waiting = asyncio.create_task(run.run())
    await until(lambda: len(shop.gate.asked) == 40)
    shop.gate.is_open.set()
    shop.gate.blocked["first"] = ComeBack(4.0, "first/blue is paused", is_blocked=True)
    await shop.run(fast)
    assert shop.provider.hosts == ["second.test"] * 40
    opened.close()
    await waiting


async def test_with_all_places_taken_by_calls_a_start_is_given_back(tmp_path: Path) -> None:
    async with workshop(tmp_path, max_in_flight=1) as shop:
        done = asyncio.Event()
        shop.provider.before = done.wait
        shop.gate.is_open.clear()
        running = asyncio.create_task(shop.run(shop.submit([line(str(n)) for n in range(5)])))
        await until(lambda: len(shop.gate.asked) == 5)
        shop.gate.is_open.set()
        await until(lambda: shop.gate.endings.count(UNSENT) >= 3 and bool(shop.provider.seen))
        assert len(shop.provider.seen) == 1
        done.set()
        await running
        assert len(shop.provider.seen) == 5
        assert shop.outcomes() == [Outcome.SUCCEEDED] * 5


async def test_a_blocked_target_sends_the_job_to_the_next_at_its_price(shop: Workshop) -> None:
    shop.gate.blocked["first"] = A_BREAK
    ref = shop.submit([line(model="cheap")])
    await shop.run(ref)
    assert shop.provider.hosts == ["second.test"]
    [attempt] = shop.attempts()
    assert (attempt.provider, attempt.pool, attempt.model) == ("second", "main", "tiny")
    assert attempt.cost_nanos == 5 * 20_000
    assert attempt.reserved_nanos > 10 * 20_000
    assert [result.attempt for result in shop.results()] == [attempt.n]


@pytest.mark.parametrize(
    ("wait_s", "given", "asked"),
    [
        pytest.param(5.0, {}, ["first", "first"], id="within the route's patience"),
        pytest.param(15.0, {}, ["first", "first", "second"], id="beyond it"),
        pytest.param(
            5.0, {"failover_after_s": "3"}, ["first", "first", "second"], id="or the batch's"
        ),
        pytest.param(15.0, {"failover_after_s": "60"}, ["first", "first"], id="which is longer"),
    ],
)
async def test_pace_is_waited_for_as_long_as_the_route_or_the_batch_allows(
    shop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    wait_s: float,
    given: dict[str, str],
    asked: list[str],
) -> None:
    async def rest(_opened: object, _wait_s: float) -> None:
        """Time flies."""

    monkeypatch.setattr("workers.slices.open_slice.OpenSlice.rest", rest)
    limit = ComeBack(wait_s, "the limit of first/blue is reached")
    shop.gate.answers.extend([limit] * (len(asked) - 1))
    await shop.run(shop.submit([line(model="cheap")], given=given))
    assert [ask.provider for ask, _ in shop.gate.asked] == asked


async def test_each_attempt_begins_with_the_first_target_again(shop: Workshop) -> None:
    shop.gate.answers.extend([A_BREAK] * 2)
    shop.provider.replies.append(httpx.Response(500))
    await shop.run(shop.submit([line(model="cheap")]))
    assert [ask.provider for ask, _ in shop.gate.asked] == ["first", "first", "second", "first"]
    assert shop.provider.hosts == ["second.test", "first.test"]
    assert [attempt.provider for attempt in shop.attempts()] == ["second", "first"]
    assert [result.attempt for result in shop.results()] == [2]


async def test_the_gate_is_told_who_asks_and_what_for(shop: Workshop) -> None:
    await shop.run(shop.submit([line(model="cheap")], priority=Priority.INTERACTIVE))
    [(ask, _patience_s)] = shop.gate.asked
    assert (ask.provider, ask.model, ask.priority) == ("first", "small", "interactive")
    assert (ask.output_tokens, ask.max_output_tokens) == (10, 10)
    assert ask.input_tokens > 0


async def test_a_job_that_an_earlier_lease_had_begun_passes_others_until_it_is_sent_again(
    shop: Workshop,
) -> None:
    ref = shop.submit([line(str(n)) for n in range(2)])
    _opened, run = shop.open(ref)
    shop.provider.before = asyncio.Event().wait  # the first calls are never answered
    running = asyncio.create_task(run.run())
    await until(lambda: len(shop.provider.seen) == 2)
    run.abort()
    await running
    shop.provider.before = None
    shop.provider.replies.append(httpx.Response(429))
    await shop.run(ref)
    asked = [ask.is_resumed for ask, _patience_s in shop.gate.asked]
    assert asked == [False, False, True, True, False]


async def test_a_job_that_was_begun_passes_others_also_after_a_start_that_it_gave_back(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = shop.submit([line("1")])
    _opened, run = shop.open(ref)
    shop.provider.before = asyncio.Event().wait  # the first call is never answered
    running = asyncio.create_task(run.run())
    await until(lambda: len(shop.provider.seen) == 1)
    run.abort()
    await running
    shop.provider.before = None
    recalls = iter([False, True])  # its permit was lent meanwhile, and all are in use
    monkeypatch.setattr(Permits, "recall", lambda _self, _owner: next(recalls))
    await shop.run(ref)
    asked = [ask.is_resumed for ask, _patience_s in shop.gate.asked]
    assert asked == [False, True, True]


async def test_when_all_targets_are_blocked_for_long_the_slice_is_due_then_and_says_why(
    shop: Workshop,
) -> None:
    shop.gate.blocked = {"first": A_BREAK, "second": ComeBack(40.0, "second/main is down", True)}
    ref = shop.submit([line(str(n), "cheap") for n in range(5)], slice_size=3)
    await shop.run(ref)
    assert shop.gate.endings == []
    with shop.database.read() as session:
        moment = now(session)
    for held in (shop.slice(0), shop.slice(1)):  # the other one need not find out the same
        assert held.state == SliceState.WAITING
        assert held.not_before is not None
        assert timedelta(seconds=35) < held.not_before - moment <= timedelta(seconds=40)
    waiting_for = shop.batch(ref).waiting_for
    assert waiting_for == "first/blue is paused until noon; second/main is down"


async def test_a_blocked_model_holds_up_no_job_of_another_and_no_other_slice(
    shop: Workshop,
) -> None:
    shop.gate.blocked = {"first": A_BREAK}
    mixed = [line("a"), line("b", "cheap"), line("c"), line("d", "cheap")]
    ref = shop.submit(mixed, slice_size=2)
    opened = await shop.run(ref)
    assert [attempt.seq for attempt in shop.attempts()] == [1]
    assert opened.wait_s == A_BREAK.wait_s
    waiting, other = shop.slice(0), shop.slice(1)
    assert waiting.not_before is not None
    with shop.database.read() as session:
        assert waiting.not_before - now(session) <= timedelta(seconds=LONGEST_WAIT_S)
    assert other.not_before is None
    assert shop.batch(ref).waiting_for == A_BREAK.reason


async def test_a_few_slices_stay_to_be_the_probe_and_the_rest_are_given_back(
    shop: Workshop,
) -> None:
    shop.gate.blocked = {"first": ComeBack(15.0, "first/blue doesn't answer", is_blocked=True)}
    ref = shop.submit([line(str(n)) for n in range(2 * WATCHING_SLICES)], slice_size=1)
    opened = [shop.open(ref, no) for no in range(2 * WATCHING_SLICES)]
    running = [asyncio.create_task(run.run()) for _, run in opened]
    await until(lambda: sum(task.done() for task in running) == WATCHING_SLICES)
    watching = [piece for piece, _ in opened if not piece.is_left_over]
    assert [piece.waits_for for piece in watching] == ["first/blue doesn't answer"] * 4
    for piece in watching:
        piece.close()
    await asyncio.gather(*running)
    assert shop.gate.endings == []


async def test_what_a_slice_waits_for_is_forgotten_when_a_job_gets_through(shop: Workshop) -> None:
    shop.gate.answers.append(A_MOMENT)
    shop.provider.before = partial(asyncio.sleep, 0)
    opened = await shop.run(shop.submit([line()]))
    assert opened.waits_for is None


async def test_what_a_slice_waits_for_is_forgotten_when_its_jobs_have_asked_again(
    shop: Workshop,
) -> None:
    opened, _ = shop.open(shop.submit([line()]), 0)
    opened.waits("first/blue doesn't answer", told_again_s=0.1)
    assert opened.waits_for == "first/blue doesn't answer"
    # Others of the process may have got through since; this slice's turn may be far off.
    await until(lambda: opened.waits_for is None)
