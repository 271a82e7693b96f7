"""A batch that retries another: what is good is kept, what was paid for is judged again, the rest is run."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from jobs.errors import IllegalTransition, InvalidParameter, InvalidSubmission
from jobs.kinds.generation import GenerationPlan
from jobs.states import BatchState
from jobs.store.batches import batches
from jobs.store.proof.balance import balance
from jobs.tables import Result
from tests.support.workshop import CHAT, Workshop, line, workshop
from workers.clock.sweep import Sweep

STRICT = '{"type":"object","required":["hour","place"]}'
RELAXED = '{"type":"object","required":["hour"]}'
ONCE = {"ask_again": "0", "escalate": "false"}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path) as shop:
        yield shop


def said(*texts: str, finish: str = "stop") -> list[httpx.Response]:
    return [
        httpx.Response(
            200, json={**CHAT, "choices": [{"message": {"content": text}, "finish_reason": finish}]}
        )
        for text in texts
    ]


async def ran(shop: Workshop, ref: str) -> list[Result]:
    """Run a batch of one slice, and return its results."""
    await shop.run(ref)
    batch = shop.batch(ref)
    assert batch.state == BatchState.COMPLETED
    with shop.database.snapshot() as session:
        assert balance(session, batches.find(session, 1, ref)).violations == []
    return [result for result in shop.results() if result.batch_id == batch.id]


async def answered(
    shop: Workshop, replies: Sequence[httpx.Response], **given: str
) -> tuple[str, list[Result]]:
    """Run a batch of as many jobs as there are replies, one after the other."""
    shop.provider.replies.extend(replies)
    kind = given.get("kind", "generation")
    content = {"prompt": "When?"} if kind == "generation" else {"text": "The mill grinds at five."}
    jobs = [
        {"custom_id": str(number), "model": "small", **content} for number in range(len(replies))
    ]
    ref = shop.submit(jobs, given={**ONCE, **given})
    return ref, await ran(shop, ref)


def told(results: Sequence[Result]) -> list[tuple[str, str, str | None]]:
    return [(result.status, result.source, result.error_code) for result in results]


async def test_what_succeeded_is_kept_and_what_failed_runs_again(shop: Workshop) -> None:
    ref, first = await answered(shop, [*said("five"), httpx.Response(400), *said(" ")])
    assert [result.error_code for result in first] == [None, "request_rejected", "empty_output"]
    again = shop.retry(ref)
    results = await ran(shop, again)
    assert told(results) == [
        ("succeeded", "cache", None),
        ("succeeded", "live", None),
        ("succeeded", "live", None),
    ]
    assert [result.output for result in results] == ['"five"', '"Hello"', '"Hello"']
    old, new = shop.batch(ref), shop.batch(again)
    assert (new.retry_of, new.name, new.priority) == (ref, old.name, old.priority)
    assert (new.reused_jobs, new.total_jobs) == (1, 3)
    assert new.saved_nanos == shop.attempts()[0].cost_nanos
    assert (old.succeeded, old.failed) == (1, 2)


async def test_only_chosen_failures_run_again(shop: Workshop) -> None:
    ref, _ = await answered(shop, [*said("five"), httpx.Response(400), *said(" ")])
    results = await ran(shop, shop.retry(ref, "empty_output"))
    assert told(results) == [
        ("succeeded", "cache", None),
        ("failed", "cache", "request_rejected"),
        ("succeeded", "live", None),
    ]
    assert results[1].error_message
    assert len(shop.provider.seen) == 4


async def test_an_answer_that_is_good_under_another_schema_costs_nothing(shop: Workshop) -> None:
    ref, first = await answered(
        shop, said('{"hour": 5}', '{"hour": 6, "place": "mill"}', "five"), schema=STRICT
    )
    assert [result.error_code for result in first] == ["schema_violation", None, "invalid_json"]
    again = shop.retry(ref, "schema_violation", schema=RELAXED)
    results = await ran(shop, again)
    assert told(results) == [
        ("succeeded", "cache", None),
        ("succeeded", "cache", None),
        ("failed", "cache", "invalid_json"),
    ]
    assert results[0].output == '{"hour":5}'
    assert len(shop.provider.seen) == 3
    assert shop.batch(again).spent_nanos == 0


async def test_an_answer_that_is_not_good_any_more_is_asked_for(shop: Workshop) -> None:
    replies = said('{"hour": 5}', '{"hour": 6, "place": "mill"}')
    ref, _ = await answered(shop, replies, schema=RELAXED)
    shop.provider.replies.extend(said('{"hour": 5, "place": "pond"}'))
    results = await ran(shop, shop.retry(ref, schema=STRICT))
    assert [result.source for result in results] == ["live", "cache"]
    assert [result.output for result in results] == [
        '{"hour":5,"place":"pond"}',
        '{"hour":6,"place":"mill"}',
    ]


async def test_a_text_that_is_the_json_that_is_asked_for_now_becomes_it(shop: Workshop) -> None:
    ref, first = await answered(shop, said('```json\n{"hour": 5}\n```', "At five."))
    assert [result.status for result in first] == ["succeeded"] * 2
    shop.provider.replies.extend(said('{"hour": 7}'))
    results = await ran(shop, shop.retry(ref, schema=RELAXED))
    assert [(result.source, result.output, result.mended) for result in results] == [
        ("cache", '{"hour":5}', "a fence"),
        ("live", '{"hour":7}', None),
    ]


@pytest.mark.parametrize(("first", "second", "calls"), [("false", "true", 1), ("true", "false", 2)])
async def test_answers_that_were_mended_are_taken_by_who_takes_them(
    shop: Workshop, first: str, second: str, calls: int
) -> None:
    ref, results = await answered(shop, said('```\n{"hour": 5}\n```'), schema=RELAXED, repair=first)
    assert [result.error_code for result in results] == (
        ["needs_repair"] if first == "false" else [None]
    )
    shop.provider.replies.extend(said('{"hour": 6}'))
    (result,) = await ran(shop, shop.retry(ref, repair=second))
    assert result.status == "succeeded"
    assert len(shop.provider.seen) == calls


async def test_an_answer_that_can_not_be_judged_by_our_own_fault_is_asked_for(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ref, _ = await answered(shop, said("five", "six"))
    monkeypatch.setattr(GenerationPlan, "recheck", Mock(side_effect=RuntimeError("ours")))
    results = await ran(shop, shop.retry(ref, system="Be brief."))
    assert [result.source for result in results] == ["live", "live"]
    assert "can't be judged again" in caplog.text


async def test_another_model_or_limit_asks_nobody_for_what_is_good(shop: Workshop) -> None:
    ref, _ = await answered(shop, said("five", "six"))
    results = await ran(shop, shop.retry(ref, max_tokens="500", system="Be brief."))
    assert [result.source for result in results] == ["cache", "cache"]


async def test_a_retry_can_be_retried_and_tells_who_was_called_for(shop: Workshop) -> None:
    ref, _ = await answered(shop, [*said("five"), httpx.Response(400)])
    shop.provider.replies.append(httpx.Response(400))
    second = shop.retry(ref)
    await ran(shop, second)
    third = shop.retry(second)
    results = await ran(shop, third)
    assert [(result.source, result.origin_batch_id) for result in results] == [
        ("cache", shop.batch(ref).id),
        ("live", None),
    ]
    assert shop.batch(third).saved_nanos == shop.attempts()[0].cost_nanos


async def test_twins_follow_their_first_job(shop: Workshop) -> None:
    lines = [{**line(str(number)), "prompt": prompt} for number, prompt in enumerate("aabb")]
    shop.provider.replies.extend([httpx.Response(400), *said("fine")])
    ref = shop.submit(lines, given={"collapse": "auto"})
    assert [result.status for result in await ran(shop, ref)] == ["failed"] * 2 + ["succeeded"] * 2
    results = await ran(shop, shop.retry(ref))
    assert [result.source for result in results] == ["live", "duplicate", "cache", "duplicate"]
    assert [result.status for result in results] == ["succeeded"] * 4


async def test_a_cancelled_job_runs_again_or_has_failed_for_that(shop: Workshop) -> None:
    ref, _ = await answered(shop, [httpx.Response(400), *said("x")])
    with shop.database.write() as session:
        batch = batches.find(session, 1, ref)
        result = session.get(Result, (batch.id, 1))
        assert result is not None
        result.status, result.error_code, result.error_message = "cancelled", "cancelled", "was"
        result.output = result.finish_reason = result.attempt = None
        batch.succeeded, batch.cancelled, batch.state = 0, 1, BatchState.CANCELLED
        session.add_all([result, batch])
    chosen = await ran(shop, shop.retry(ref, "request_rejected"))
    assert told(chosen) == [("succeeded", "live", None), ("failed", "cache", "cancelled")]
    everything = await ran(shop, shop.retry(ref))
    assert [result.source for result in everything] == ["live", "live"]


def cancel(shop: Workshop, ref: str) -> None:
    with shop.database.write() as session:
        batches.move(session, 1, ref, BatchState.CANCELLING)
    Sweep(shop.database, Mock()).cancel_batches()
    assert shop.batch(ref).state == BatchState.CANCELLED


async def test_what_a_cancelled_retry_did_not_come_to_is_looked_for_before_it(
    shop: Workshop,
) -> None:
    ref, _ = await answered(shop, [*said("five", " "), httpx.Response(400)])
    second = shop.retry(ref, "empty_output")
    cancel(shop, second)
    third = shop.retry(second)
    cancel(shop, third)
    results = await ran(shop, shop.retry(third, "cancelled"))
    assert [(result.source, result.output) for result in results] == [
        ("cache", '"five"'),
        ("live", '"Hello"'),
        ("live", '"Hello"'),
    ]
    assert results[0].origin_batch_id == shop.batch(ref).id


async def test_what_a_cancelled_retry_changed_is_judged_from_where_the_answer_is(
    shop: Workshop,
) -> None:
    texts = said('{"hour":5}', '{"hour":5,"place":"A"}')
    ref, _ = await answered(shop, texts, schema=STRICT)
    second = shop.retry(ref, schema=RELAXED)
    cancel(shop, second)
    results = await ran(shop, shop.retry(second))
    assert told(results) == [("succeeded", "cache", None)] * 2
    assert len(shop.attempts()) == len(texts)


async def test_the_beginnings_that_a_batch_has_paid_for_are_taken_for_nothing(
    shop: Workshop,
) -> None:
    shop.provider.replies.extend(said("High", finish="length") * 2)
    ref = shop.submit([line("1")], given=ONCE)
    (first,) = await ran(shop, ref)
    assert first.error_code == "truncated"
    calls = len(shop.attempts())
    (second,) = await ran(shop, shop.retry(ref, keep_truncated="true"))
    assert (second.status, second.source, second.output) == ("succeeded", "cache", '"High"')
    assert len(shop.attempts()) == calls


@pytest.mark.parametrize(
    ("given", "changes", "sources"),
    [
        ({"target": "fr"}, {"glossary": '{"mill":"moulin"}'}, ["cache"]),
        ({"target": "fr"}, {"glossary": '{"mill":"minoterie"}'}, ["live"]),
        ({"target": "fr"}, {"target": "de"}, ["live"]),
        ({"target": "fr"}, {"ask_again": "3"}, ["cache"]),
    ],
)
async def test_a_translation_is_judged_by_what_it_is_to_be_now(
    shop: Workshop, given: dict[str, str], changes: dict[str, str], sources: list[str]
) -> None:
    french = "Le moulin tourne tous les matins à cinq heures au bord de la rivière."
    shop.provider.replies.extend(said(french))
    text = "The mill turns every morning at five o'clock at the bank of the river."
    job = {"custom_id": "1", "model": "small", "text": text}
    ref = shop.submit([job], given={**ONCE, "kind": "translation", "max_tokens": "99", **given})
    (first,) = await ran(shop, ref)
    assert first.status == "succeeded", first.error_message
    results = await ran(shop, shop.retry(ref, **changes))
    assert [result.source for result in results] == sources


async def test_lines_that_are_no_jobs_any_more_are_told(shop: Workshop) -> None:
    shop.provider.replies.extend(said("x"))
    job = {"custom_id": "1", "model": "small", "variables": {"hour": 5}}
    ref = shop.submit([job], given={"template": "Say {{ hour }}."})
    await ran(shop, ref)
    with pytest.raises(InvalidSubmission) as raised:
        shop.retry(ref, template="Say {{ place }}.")
    assert [fault.code for fault in raised.value.faults] == ["missing_variable"]


async def test_only_a_batch_that_has_ended_can_be_retried(shop: Workshop) -> None:
    ref = shop.submit([line()])
    with pytest.raises(IllegalTransition, match="queued"):
        shop.retry(ref)
    await ran(shop, ref)
    with pytest.raises(InvalidParameter, match="none has failed"):
        shop.retry(ref, "truncated")


async def test_what_was_retried_is_asked_as_it_is_now(shop: Workshop) -> None:
    ref, _ = await answered(shop, [httpx.Response(400)])
    await ran(shop, shop.retry(ref, system="Be brief."))
    asked: list[Any] = [request.content for request in shop.provider.seen]
    assert b"Be brief." in asked[1]
