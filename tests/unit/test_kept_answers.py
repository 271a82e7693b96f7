"""Answers of earlier batches: a batch that allows it takes them instead of calling."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from jobs.routing import Resolved, Target
from jobs.states import BatchState
from jobs.store import now
from jobs.store.batches import batches
from jobs.store.proof.balance import balance
from jobs.tables import Result
from tests.support.workshop import CHAT, Workshop, asking, workshop

FIRST = {"collapse": "auto"}
AGAIN = {"collapse": "auto", "reuse": "7d"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path) as shop:
        yield shop


async def ran(shop: Workshop, *arguments: Any, **options: Any) -> str:
    """Submit a batch of one slice, run it, and return its ref."""
    ref = shop.submit(*arguments, **options)
    await shop.run(ref)
    return ref


def sources(shop: Workshop, ref: str) -> list[str]:
    batch_id = shop.batch(ref).id
    return [result.source for result in shop.results() if result.batch_id == batch_id]


async def test_the_same_batch_again_makes_no_call_and_costs_nothing(shop: Workshop) -> None:
    first = await ran(shop, asking("a", "b"), given=FIRST)
    again = await ran(shop, asking("b", "a"), given=AGAIN)
    assert len(shop.provider.seen) == 2
    assert sources(shop, again) == ["cache", "cache"]
    assert [result.output for result in shop.results()] == ['"Hello"'] * 4
    batch = shop.batch(again)
    assert (batch.state, batch.succeeded, batch.reused_jobs) == (BatchState.COMPLETED, 2, 2)
    assert (batch.spent_nanos, batch.saved_nanos) == (0, shop.batch(first).spent_nanos)
    assert batch.saved_nanos > 0
    assert shop.parts.feed.drained_slices[-1].batch_ref == again  # type: ignore[attr-defined]  # the workshop's


async def test_what_is_new_is_called_for(shop: Workshop) -> None:
    await ran(shop, asking("a", "b"), given=FIRST)
    again = await ran(shop, asking("b", "c", "a"), given=AGAIN)
    assert sources(shop, again) == ["cache", "live", "cache"]
    assert len(shop.provider.seen) == 3
    third = await ran(shop, asking("c", "a"), given=AGAIN)  # of two batches
    assert sources(shop, third) == ["cache", "cache"]
    assert shop.batch(third).saved_nanos == sum(
        made.cost_nanos or 0 for made in shop.attempts() if made.seq != 1 or made.batch_id != 1
    )


async def test_twins_of_a_job_that_was_answered_before_have_saved_as_much(shop: Workshop) -> None:
    first = await ran(shop, asking("a"), given=FIRST)
    again = await ran(shop, asking("a", "a", "a"), given=AGAIN)
    assert sources(shop, again) == ["cache", "duplicate", "duplicate"]
    batch = shop.batch(again)
    assert (batch.reused_jobs, batch.collapsed_jobs) == (1, 2)
    assert batch.saved_nanos == 3 * shop.batch(first).spent_nanos


@pytest.mark.parametrize(
    ("first", "fields", "again", "calls"),
    [
        (FIRST, {}, FIRST, 2),
        (FIRST, {"temperature": 0.7}, AGAIN, 2),
        ({"collapse": "always"}, {"temperature": 0.7}, {"collapse": "always", "reuse": "1h"}, 1),
        ({"collapse": "never"}, {}, AGAIN, 2),
        (FIRST, {}, {"collapse": "never", "reuse": "7d"}, 2),
        (FIRST, {"n": 2}, AGAIN, 4),
    ],
)
async def test_who_asks_for_variety_or_does_not_allow_it_is_called_for(
    shop: Workshop, first: dict[str, str], fields: dict[str, Any], again: dict[str, str], calls: int
) -> None:
    await ran(shop, asking("a", **fields), given=first)
    await ran(shop, asking("a", **fields), given=again)
    assert len(shop.provider.seen) == calls


async def test_another_projects_answers_are_never_taken(shop: Workshop) -> None:
    await ran(shop, asking("a"), given=FIRST, project="other")
    await ran(shop, asking("a"), given=AGAIN)
    assert len(shop.provider.seen) == 2


@pytest.mark.parametrize(("age", "calls"), [("90m", 2), ("2h", 2), ("3h", 1), ("1d", 1)])
async def test_an_answer_that_is_too_old_is_not_taken(shop: Workshop, age: str, calls: int) -> None:
    await ran(shop, asking("a"), given=FIRST)
    with shop.database.write() as session:
        past = now(session) - timedelta(hours=2, minutes=1)
        session.connection().execute(update(Result).values(finished_at=past))
    await ran(shop, asking("a"), given={**AGAIN, "reuse": age})
    assert len(shop.provider.seen) == calls


async def test_the_newest_answer_is_taken(shop: Workshop) -> None:
    await ran(shop, asking("a"), given=FIRST)
    shop.provider.replies.append(said("Hi"))
    await ran(shop, asking("a"), given=FIRST)
    await ran(shop, asking("a"), given=AGAIN)
    assert [result.output for result in shop.results()] == ['"Hello"', '"Hi"', '"Hi"']


async def test_a_route_that_leads_elsewhere_gets_no_answer_of_the_old_model(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ran(shop, asking("a", model="cheap"), given=FIRST)
    elsewhere = Resolved((Target("first", "large"),))
    monkeypatch.setattr(shop.parts.catalogue, "resolve", lambda _model: elsewhere)
    await ran(shop, asking("a", model="cheap"), given=AGAIN)
    assert len(shop.provider.seen) == 2


async def test_a_failure_is_not_taken(shop: Workshop) -> None:
    shop.provider.replies.append(httpx.Response(400))
    await ran(shop, asking("a"), given=FIRST)
    await ran(shop, asking("a"), given=AGAIN)
    assert [result.source for result in shop.results()] == ["live", "live"]


@pytest.mark.parametrize(("repair", "calls"), [("true", 1), ("false", 2)])
async def test_who_wants_no_repairs_gets_no_answer_that_was_mended(
    shop: Workshop, repair: str, calls: int
) -> None:
    shop.provider.replies.append(said('```json\n{"a": 1}\n```'))
    schema = {"schema": '{"type":"object"}'}
    await ran(shop, asking("a"), given=FIRST | schema)
    shop.provider.replies.append(said('{"a": 2}'))
    await ran(shop, asking("a"), given=AGAIN | schema | {"repair": repair})
    assert len(shop.provider.seen) == calls


def said(text: str) -> httpx.Response:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return httpx.Response(200, json={**CHAT, "choices": [choice]})


async def test_a_batch_is_told_apart_from_one_that_could_not_have_taken_anything(
    shop: Workshop,
) -> None:
    await ran(shop, asking("a", "b"), given=FIRST)
    again = await ran(shop, asking("a", "b"), given=AGAIN)
    with shop.database.snapshot() as session:
        assert balance(session, batches.find(session, 1, again)).violations == []
