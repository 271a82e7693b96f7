"""Jobs of a batch that ask for the same: one is called for, and all get its result."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from sqlalchemy import text

from jobs.clock import utcnow
from jobs.states import BatchState, ResultStatus, SliceState
from jobs.store.batches import batches
from jobs.store.proof.balance import balance
from tests.support.workshop import Workshop, asking, workshop

if TYPE_CHECKING:
    from tests.support.workshop import NoFeed

SAME = {"collapse": "auto"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path) as shop:
        yield shop


async def test_one_is_called_for_and_all_get_its_result(shop: Workshop) -> None:
    ref = shop.submit(asking("a", "b", "a", "a", "b"), given=SAME)
    await shop.run(ref)
    assert len(shop.provider.seen) == 2
    assert [result.source for result in shop.results()] == ["live"] * 2 + ["duplicate"] * 3
    assert [result.output for result in shop.results()] == ['"Hello"'] * 5
    assert sorted(result.position for result in shop.results()) == [1, 2, 3, 4, 5]
    batch = shop.batch(ref)
    assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, 5)
    assert batch.collapsed_jobs == 3
    assert batch.saved_nanos == sum(
        (made.cost_nanos or 0) * (2 if made.seq == 0 else 1) for made in shop.attempts()
    )


async def test_all_get_the_same_failure(shop: Workshop) -> None:
    shop.provider.replies.append(httpx.Response(400))
    ref = shop.submit(asking("a", "a", "b"), given=SAME)
    await shop.run(ref)
    assert [result.error_code for result in shop.results()] == ["request_rejected"] * 2 + [None]
    assert shop.batch(ref).failed == 2


@pytest.mark.parametrize(
    ("given", "fields", "calls"),
    [
        ({"collapse": "auto"}, {"temperature": 0.7}, 3),
        ({"collapse": "auto"}, {"temperature": 0}, 1),
        ({"collapse": "always"}, {"temperature": 0.7}, 1),
        ({"collapse": "never"}, {}, 3),
        ({}, {}, 3),
    ],
)
async def test_who_asks_for_variety_gets_it(
    shop: Workshop, given: dict[str, str], fields: dict[str, Any], calls: int
) -> None:
    ref = shop.submit(asking("a", "a", "a", **fields), given=given)
    await shop.run(ref)
    assert len(shop.provider.seen) == calls
    assert shop.batch(ref).succeeded == 3


async def test_other_lines_are_other_jobs(shop: Workshop) -> None:
    same = asking("a", "a", "a", "a")
    same[1]["model"] = "large"
    same[2]["max_tokens"] = 11
    same[3]["system"] = "Be brief."
    await shop.run(shop.submit(same, given=SAME))
    assert len(shop.provider.seen) == 4


async def test_a_later_slice_waits_for_the_result_of_an_earlier_one(shop: Workshop) -> None:
    ref = shop.submit(asking("a", "b", "a", "c"), given=SAME, slice_size=2)
    await shop.run(ref, 1)
    assert [result.seq for result in shop.results()] == [3]
    waiting = shop.slice(1)
    assert waiting.state == SliceState.WAITING
    assert waiting.not_before is not None
    await shop.run(ref, 0)
    due_now(shop)
    await shop.run(ref, 1)
    assert [result.status for result in shop.results()] == [ResultStatus.SUCCEEDED] * 4
    assert len(shop.provider.seen) == 3
    assert shop.batch(ref).state == BatchState.COMPLETED


async def test_a_slice_with_nothing_to_send_makes_room_for_the_next(shop: Workshop) -> None:
    """And is looked at less and less often: thousands of them would hold the window."""
    ref = shop.submit(asking("a", "b", "a", "b"), given=SAME, slice_size=2)
    waits_s = []
    for looks in range(1, 8):
        await shop.run(ref, 1)
        assert len(cast("NoFeed", shop.parts.feed).drained_slices) == looks
        due_at = shop.slice(1).not_before
        assert due_at is not None
        waits_s.append((due_at - utcnow()).total_seconds())
        due_now(shop)
    assert waits_s == pytest.approx([3, 6, 9, 12, 15, 15, 15], abs=1.5)
    await shop.run(ref, 0)
    await shop.run(ref, 1)
    assert shop.batch(ref).state == BatchState.COMPLETED


async def test_copies_do_not_wait_for_the_other_jobs_of_their_slice(shop: Workshop) -> None:
    """Those may be of a provider that is away for an hour."""
    ref = shop.submit(asking("a", "b", "a", "c"), given=SAME, slice_size=2)
    await shop.run(ref, 0)
    opened, run = shop.open(ref, 1)
    opened.close(wait_s=3600.0, reason="its provider")
    await run.run()
    assert sorted(result.seq for result in shop.results()) == [0, 1, 2]
    assert shop.batch(ref).succeeded == 3
    due_now(shop)
    await shop.run(ref, 1)
    assert shop.batch(ref).state == BatchState.COMPLETED
    assert sorted(result.position for result in shop.results()) == [1, 2, 3, 4]
    assert len(shop.provider.seen) == 3


def due_now(shop: Workshop) -> None:
    piece = shop.slice(1)
    piece.not_before = None
    with shop.database.write() as session:
        session.merge(piece)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE result SET output = '\"Hullo\"' WHERE seq = 2",
        "UPDATE result SET status = 'failed', error_code = 'x' WHERE seq = 0",
        "UPDATE job SET first_seq = NULL WHERE seq = 2",
        "UPDATE job SET first_seq = 7 WHERE seq = 2",
    ],
)
async def test_the_proof_looks_at_copies(shop: Workshop, damage: str) -> None:
    ref = shop.submit(asking("a", "b", "a"), given=SAME)
    await shop.run(ref)
    with shop.database.snapshot() as session:
        assert balance(session, batches.find(session, 1, ref)).violations == []
    with shop.database.engine.begin() as connection:
        connection.execute(text(damage))
    with shop.database.snapshot() as session:
        found = balance(session, batches.find(session, 1, ref)).violations
    assert "unlike_twins" in {violation.code for violation in found}


@pytest.mark.parametrize(
    ("given", "first", "second", "calls"),
    [
        ({"kind": "generation"}, {"prompt": "a", "n": 2}, {"prompt": "a", "n": 2}, 4),
        (
            {"kind": "translation", "target": "fr"},
            {"text": "The tide"},
            {"text": "The tide", "tone": "formal"},
            2,
        ),
        ({"kind": "translation", "target": "fr"}, {"text": "The tide"}, {"text": "The tide"}, 1),
        (
            {"kind": "extraction", "schema": "{}"},
            {"text": "The tide"},
            {"text": "The tide", "merge_key": "id"},
            2,
        ),
    ],
)
async def test_each_kind_knows_what_is_the_same(
    shop: Workshop,
    given: dict[str, str],
    first: dict[str, Any],
    second: dict[str, Any],
    calls: int,
) -> None:
    lines = [{"custom_id": "1", "model": "small", **first}]
    lines.append({"custom_id": "2", "model": "small", **second})
    await shop.run(shop.submit(lines, given={**SAME, **given, "ask_again": "0"}))
    assert len(shop.provider.seen) == calls
