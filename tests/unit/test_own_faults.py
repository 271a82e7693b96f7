"""Faults of our own in the way of a job: each call is charged and counted, and the job has an end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from jobs.errors import CallBrokeDown
from jobs.lines import rebuild
from jobs.prices import Price
from jobs.states import BatchState, Outcome, SliceState
from jobs.store.attempts.reports import Settlement, Unattempted
from jobs.tables import Slice
from tests.support.workshop import Workshop, line, make_impatient, workshop
from workers.gate.gate import Ending
from workers.job import conclusions, job_run
from workers.slices.slice_run import BREAKDOWN

TOO_MANY_NANOS = 2**70
"""More than a column holds: the database will never take such a row."""

CUT_OFF = Ending(sent=True, cut_off=True)


class Panic(BaseException):
    """What a library in Rust raises: no Exception."""


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    """A worker that has little patience between attempts."""
    make_impatient(monkeypatch)
    async with workshop(tmp_path) as shop:
        yield shop


def make_due(shop: Workshop) -> None:
    """Let nothing be waited for."""
    with shop.database.write() as session:
        session.connection().execute(update(Slice).values(not_before=None))


def codes(shop: Workshop) -> list[str | None]:
    return [result.error_code for result in shop.results()]


def reserved_nanos(shop: Workshop) -> int:
    return sum(attempt.reserved_nanos for attempt in shop.attempts())


@pytest.mark.parametrize("fault", [KeyError("of ours"), Panic()], ids=["an exception", "a panic"])
async def test_a_call_that_breaks_down_is_charged_and_the_last_one_is_the_jobs_result(
    shop: Workshop, fault: BaseException
) -> None:
    most = shop.parts.settings.max_attempts
    shop.provider.replies.extend([fault] * 2 * most)
    ref = shop.submit([line()])
    await shop.run(ref)
    assert shop.outcomes() == [Outcome.UNKNOWN] * most
    assert {attempt.error_code for attempt in shop.attempts()} == {CallBrokeDown.code}
    assert codes(shop) == [CallBrokeDown.code]
    assert shop.gate.endings == [CUT_OFF] * most
    batch = shop.batch(ref)
    assert batch.state == BatchState.COMPLETED
    assert batch.spent_nanos == reserved_nanos(shop) > 0


async def test_a_call_that_broke_down_once_is_made_again(shop: Workshop) -> None:
    shop.provider.replies.append(KeyError("of ours"))
    await shop.run(shop.submit([line()]))
    assert shop.outcomes() == [Outcome.UNKNOWN, Outcome.SUCCEEDED]
    assert codes(shop) == [None]


async def test_also_a_probe_that_breaks_down_counts(shop: Workshop) -> None:
    most = shop.parts.settings.max_attempts
    shop.gate.probes = 2 * most
    shop.provider.replies.extend([KeyError("of ours")] * 2 * most)
    await shop.run(shop.submit([line()]))
    assert len(shop.attempts()) == most
    assert codes(shop) == [CallBrokeDown.code]


async def test_an_answer_that_the_database_never_takes_is_paid_once_and_harms_no_other(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_answer = conclusions.of_answer

    def too_dear(journal: Any, *rest: Any) -> Settlement:
        made = of_answer(journal, *rest)
        if journal.seq != 3:
            return made
        return Settlement(journal, made.outcome, made.usage, TOO_MANY_NANOS, result=made.result)

    monkeypatch.setattr(conclusions, "of_answer", too_dear)
    ref = shop.submit([line(str(n)) for n in range(8)])
    await shop.run(ref)
    assert codes(shop) == [None] * 3 + ["unstorable"] + [None] * 4
    assert len(shop.provider.seen) == 8
    paid = shop.attempts()[3]
    assert (paid.outcome, paid.error_code) == (Outcome.UNKNOWN, "unstorable")
    assert paid.cost_nanos == paid.reserved_nanos > 0
    assert shop.batch(ref).state == BatchState.COMPLETED


async def test_a_call_that_the_database_never_notes_is_not_made_and_harms_no_other(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worst_case(_price: Price, _tokens: int, max_tokens: int) -> int:
        return TOO_MANY_NANOS if max_tokens == 7 else 1

    monkeypatch.setattr(Price, "worst_case_nanos", worst_case)
    ref = shop.submit([line("a"), {**line("b"), "max_tokens": 7}, line("c")])
    await shop.run(ref)
    assert codes(shop) == [None, "unstorable", None]
    assert len(shop.provider.seen) == 2
    assert shop.batch(ref).state == BatchState.COMPLETED


async def test_a_job_that_can_not_be_prepared_fails_and_harms_no_other(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(kind: str, request: str, defaults: Any) -> Any:
        if "of ours" in request:
            raise KeyError
        return rebuild(kind, request, defaults)

    monkeypatch.setattr(job_run, "rebuild", broken)
    await shop.run(shop.submit([line("a"), {**line("b"), "prompt": "of ours"}, line("c")]))
    assert codes(shop) == [None, "unrunnable", None]
    assert len(shop.provider.seen) == 2


@pytest.mark.parametrize("fault", [KeyError("of ours"), Panic()], ids=["an exception", "a panic"])
async def test_a_job_whose_calls_can_not_be_settled_at_all_makes_no_more_than_its_attempts(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    settle = shop.parts.writer.settle

    async def broken(ending: Settlement | Unattempted) -> None:
        if isinstance(ending, Unattempted):
            await settle(ending)
            return
        raise fault

    monkeypatch.setattr(shop.parts.writer, "settle", broken)
    most = shop.parts.settings.max_attempts
    ref = shop.submit([line()])
    for made in range(1, most + 1):
        await shop.run(ref)
        piece, batch = shop.slice(), shop.batch(ref)
        assert piece.state == SliceState.WAITING
        assert piece.not_before is not None  # no hot loop
        assert batch.waiting_for == BREAKDOWN
        assert [attempt.error_code for attempt in shop.attempts()] == [CallBrokeDown.code] * made
        assert batch.spent_nanos == reserved_nanos(shop)
        make_due(shop)
    await shop.run(ref)
    assert len(shop.provider.seen) == most
    assert codes(shop) == ["attempts_exhausted"]
    assert shop.batch(ref).state == BatchState.COMPLETED
