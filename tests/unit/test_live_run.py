"""Live calls on a worker's true parts: how they end, and what stands in the books then."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from jobs.clock import utcnow
from jobs.defaults import JobDefaults
from jobs.errors import (
    CallFailed,
    CallRejected,
    LiveCallError,
    NoPace,
    NoTarget,
    OverBudget,
)
from jobs.lines import JobLine, LineReader
from jobs.live import Answered, Event, LiveCall, Piece, Text
from jobs.states import BatchState
from jobs.store import live
from jobs.store.batches import batches
from jobs.store.leases import lost_leases
from jobs.store.money import budgets
from jobs.store.projects import ensure_project
from jobs.tables import Batch
from tests.support.crash_judge import everything_is_done
from tests.support.eventually import eventually_async
from tests.support.workshop import Workshop, make_impatient, workshop
from workers.gate.gate import ComeBack
from workers.live import live_batch
from workers.live.switchboard import Switchboard

STREAM = [
    {"choices": [{"index": 0, "delta": {"content": "Hel"}}]},
    {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]


class Shop:
    """A switchboard on a workshop's parts."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.board = Switchboard(shop.parts, "api-1")
        self._numbers = iter(range(1000))
        with shop.database.write() as session:
            self.project_id = ensure_project(session, "default")
            budgets.set_caps(session, self.project_id, {"daily_nanos": 10**12})

    def call(self, model: str = "small", *, stream: bool = False, max_tokens: int = 10) -> LiveCall:
        call_id = f"call_{next(self._numbers)}"
        body = {
            "model": model,
            "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "A secret."}],
        }
        line = {
            "custom_id": call_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
        defaults = JobDefaults(kind="chat", max_tokens=10)
        job = LineReader(defaults, self.shop.parts.catalogue).read(1, msgspec.json.encode(line))
        assert isinstance(job, JobLine)
        return LiveCall(call_id, self.project_id, job, 10, stream)

    async def pieces(self, call: LiveCall) -> list[Piece]:
        async with asyncio.timeout(10.0):
            return [piece async for piece in self.board.pieces(call)]

    async def error(self, call: LiveCall) -> LiveCallError:
        with pytest.raises(LiveCallError) as raised:
            await self.pieces(call)
        return raised.value

    @property
    def batch(self) -> Batch:
        with self.shop.database.read() as session:
            return batches.page(session, self.project_id, before=None, limit=1)[0]


@asynccontextmanager
async def live_shop(folder: Path, **settings: Any) -> AsyncIterator[Shop]:
    async with workshop(folder) as shop:
        object.__setattr__(shop.parts, "settings", shop.parts.settings.model_copy(update=settings))
        made = Shop(shop)
        try:
            yield made
        finally:
            await made.board.close()
            everything_is_done(shop.database)


def events(*values: Any, end: str = "data: [DONE]\n\n") -> httpx.Response:
    text = "".join(f"data: {msgspec.json.encode(value).decode()}\n\n" for value in values) + end
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


async def test_an_answer_is_the_callers_and_its_tokens_are_the_books(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        (answered,) = await shop.pieces(shop.call())
        assert isinstance(answered, Answered)
        assert msgspec.json.decode(answered.output)["choices"][0]["message"]["content"] == "Hello"
        batch = shop.batch
        assert (batch.state, batch.is_live, batch.total_jobs, batch.succeeded) == (
            *("running", True),
            *(1, 1),
        )
        assert batch.spent_nanos == 5_000
        (result,) = shop.shop.results()
        assert (result.output, result.finish_reason) == ("null", "complete")
        assert [grant.ask.priority for grant in shop.shop.gate.granted] == ["interactive"]


async def test_calls_of_a_project_and_day_stand_in_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_shop(tmp_path) as shop:
        await asyncio.gather(*(shop.pieces(shop.call()) for _ in range(5)))
        first = shop.batch
        assert (first.total_jobs, first.succeeded) == (5, 5)
        tomorrow = utcnow() + timedelta(days=1)
        monkeypatch.setattr(live_batch, "utcnow", lambda: tomorrow)
        await shop.pieces(shop.call())
        second = shop.batch
        assert second.ref != first.ref
        await shop.board._batches.renew()
        with shop.shop.database.read() as session:
            before = batches.find(session, shop.project_id, first.ref)
        assert (before.state, before.done_slices) == (BatchState.COMPLETED, 1)


async def test_a_stream_is_told_as_it_comes_and_settled_before_its_end(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        shop.shop.provider.replies.append(events(*STREAM))
        told = []
        async for piece in shop.board.pieces(shop.call(stream=True)):
            told.append(piece)
            if isinstance(piece, Answered):
                assert shop.batch.spent_nanos == 5_000
        assert [type(piece).__name__ for piece in told] == [*["Event"] * 4, "Answered"]
        assert msgspec.json.decode(shop.shop.provider.seen[0].content)["stream"] is True


async def test_a_provider_that_answers_in_one_piece_is_a_stream_of_one(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        pieces = await shop.pieces(shop.call(stream=True))
        assert pieces[0] == Text("Hello")
        assert isinstance(pieces[1], Answered)


async def test_a_stream_that_has_begun_is_asked_of_nobody_else(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        shop.shop.provider.replies.append(events(*STREAM[:1], end=""))
        pieces = shop.board.pieces(shop.call("cheap", stream=True))
        assert isinstance(await anext(pieces), Event)
        with pytest.raises(CallFailed) as broken:
            await anext(pieces)
        assert broken.value.code == "connection_lost"
        assert shop.shop.provider.hosts == ["first.test"]
        assert shop.shop.outcomes() == ["unknown"]
        assert (shop.batch.failed, shop.batch.unknown_attempts) == (1, 1)
        assert shop.batch.spent_nanos == shop.shop.attempts()[0].reserved_nanos


async def test_a_route_takes_over_before_anything_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_impatient(monkeypatch)
    async with live_shop(tmp_path) as shop:
        shop.shop.gate.blocked["first"] = ComeBack(30.0, "first is paused", is_blocked=True)
        pieces = await shop.pieces(shop.call("cheap", stream=True))
        assert shop.shop.provider.hosts == ["second.test"]
        assert pieces[0] == Text("Hello")


async def test_what_keeps_a_call_from_leaving_is_said(tmp_path: Path) -> None:
    async with live_shop(tmp_path, live_wait_s=0.3) as shop:
        gate = shop.shop.gate
        gate.blocked["first"] = ComeBack(40.0, "its key is refused", is_blocked=True)
        away = await shop.error(shop.call())
        assert (type(away), away.message) == (NoTarget, "its key is refused")
        gate.blocked["first"] = ComeBack(0.5, "Redis doesn't answer", is_blocked=True)
        gone = await shop.error(shop.call())
        assert (type(gone), gone.message) == (NoTarget, "Redis doesn't answer")
        gate.blocked["first"] = ComeBack(1.0, "rpm is used up")
        late = await shop.error(shop.call())
        assert (type(late), late.message) == (NoPace, "rpm is used up")
        gate.is_open.clear()
        assert isinstance(await shop.error(shop.call()), NoPace)
        assert shop.batch.failed == 4
        assert shop.shop.attempts() == []


async def test_a_rejected_call_says_why_and_is_not_tried_again(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        refusal = httpx.Response(400, json={"error": {"message": "no such parameter"}})
        shop.shop.provider.replies.append(refusal)
        rejected = await shop.error(shop.call())
        assert (type(rejected), rejected.code) == (CallRejected, "request_rejected")
        assert "no such parameter" in rejected.message
        assert shop.batch.spent_nanos == 0


async def test_a_budget_without_room_refuses_at_once_and_pauses_nothing(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        with shop.shop.database.write() as session:
            budgets.set_caps(session, shop.project_id, {"daily_nanos": 800_000})
        assert isinstance(await shop.error(shop.call(max_tokens=1000)), OverBudget)
        await shop.pieces(shop.call())
        assert (shop.batch.state, shop.batch.succeeded, shop.batch.failed) == ("running", 1, 1)


async def test_who_hangs_up_pays_what_is_known_at_most(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        is_asked, never = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            is_asked.set()
            await never.wait()

        shop.shop.provider.before = hang
        reading = asyncio.ensure_future(shop.pieces(shop.call()))
        await is_asked.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await asyncio.wait(shop.board._runs)
        assert shop.shop.outcomes() == ["unknown"]
        (result,) = shop.shop.results()
        assert (result.status, result.error_code) == ("failed", "hung_up")
        assert shop.batch.spent_nanos == shop.shop.attempts()[0].reserved_nanos > 0


async def test_a_call_may_finish_while_its_process_drains(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        is_asked, may_answer = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            is_asked.set()
            await may_answer.wait()

        shop.shop.provider.before = hang
        reading = asyncio.ensure_future(shop.pieces(shop.call()))
        await is_asked.wait()
        draining = asyncio.ensure_future(shop.board.drain(10.0))
        await asyncio.sleep(0)
        assert not draining.done()
        may_answer.set()
        await draining
        assert isinstance((await reading)[-1], Answered)


async def test_a_call_that_is_late_at_the_end_says_so_and_pays_what_is_known_at_most(
    tmp_path: Path,
) -> None:
    async with live_shop(tmp_path) as shop:
        is_asked, never = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            is_asked.set()
            await never.wait()

        shop.shop.provider.before = hang
        reading = asyncio.ensure_future(shop.error(shop.call(stream=True)))
        await is_asked.wait()
        shop.shop.gate.is_open.clear()
        waiting = asyncio.ensure_future(shop.error(shop.call()))

        async def both_are_under_way() -> bool:
            return shop.batch.total_jobs == 2

        await eventually_async(both_are_under_way, what="both are in the books")
        await shop.board.drain(0.05)
        assert (await reading).code == "stopped"
        # It never left, so that another process may be asked for it.
        assert isinstance(await waiting, NoTarget)
        assert shop.shop.outcomes() == ["unknown"]
        assert (shop.batch.failed, shop.batch.reserved_nanos) == (2, 0)


async def test_who_hangs_up_before_the_call_leaves_pays_nothing(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        shop.shop.gate.start_in_s = 3.0

        async def is_granted() -> bool:
            return bool(shop.shop.gate.granted)

        reading = asyncio.ensure_future(shop.pieces(shop.call()))
        await eventually_async(is_granted, what="it has its start")
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await asyncio.wait(shop.board._runs)
        assert shop.shop.provider.seen == []
        assert (shop.batch.failed, shop.batch.spent_nanos) == (1, 0)


async def test_a_lease_that_ran_out_ends_its_batch_and_calls_go_on_in_another(
    tmp_path: Path,
) -> None:
    async with live_shop(tmp_path) as shop:
        await shop.pieces(shop.call())
        first = shop.batch
        with shop.shop.database.write() as session:
            piece = shop.shop.slice()
            piece.lease_until = utcnow() - timedelta(minutes=1)
            session.merge(piece)
        with shop.shop.database.write() as session:
            assert lost_leases.expire(session, first.id or 0, 0) is None
        await shop.pieces(shop.call())
        assert shop.batch.ref != first.ref
        with shop.shop.database.read() as session:
            assert batches.find(session, 1, first.ref).state == BatchState.COMPLETED


async def test_a_call_whose_process_died_is_unknown_and_never_made_again(tmp_path: Path) -> None:
    async with live_shop(tmp_path) as shop:
        keeper = live.Keeper(shop.project_id, "api-0")
        job = live.LiveJob("call_dead", "chat", "small", 5)
        with shop.shop.database.write() as session:
            lease = live.begin(session, keeper, job)
        with shop.shop.database.write() as session:
            assert live.add(session, lease, job) == 0
            other = live.LiveJob("call_other", "chat", "small", 5)
            assert live.add(session, lease, other) == 1
            live.finish(session, lease)
        batch = shop.batch
        assert (batch.state, batch.failed, batch.total_jobs) == (BatchState.COMPLETED, 2, 2)
        assert {result.error_code for result in shop.shop.results()} == {"call_lost"}
