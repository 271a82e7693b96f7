"""Bad answers and answers to parts, through a worker's parts and the database."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from jobs.exchange import Answer, Message, ModelRequest
from jobs.kinds.answers import no_answer
from jobs.kinds.generation import GenerationLine
from jobs.kinds.kind import Good, Plan, Verdict
from jobs.states import Outcome, ResultStatus
from tests.support.workshop import Workshop, line, make_impatient, workshop
from workers.job import job_run

SCHEMA = '{"type":"object","required":["hour"]}'
GOOD_JSON = '{"hour": 5}'


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    make_impatient(monkeypatch)
    async with workshop(tmp_path) as shop:
        yield shop


def chat(text: str, finish: str = "stop") -> httpx.Response:
    return httpx.Response(
        200,
        json={
            "choices": [{"message": {"content": text}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        },
    )


def asked(shop: Workshop) -> list[dict[str, Any]]:
    return [msgspec.json.decode(request.content) for request in shop.provider.seen]


async def test_a_bad_answer_is_told_paid_for_counted_and_followed_by_a_good_one(
    shop: Workshop,
) -> None:
    shop.provider.replies.extend([chat("It is five."), chat(GOOD_JSON)])
    ref = shop.submit([line()], given={"schema": SCHEMA})
    await shop.run(ref)
    first, second = shop.attempts()
    assert (first.outcome, first.error_code) == (Outcome.SUCCEEDED, "invalid_json")
    assert (second.outcome, second.error_code) == (Outcome.SUCCEEDED, None)
    (result,) = shop.results()
    assert (result.status, result.attempt) == (ResultStatus.SUCCEEDED, 2)
    batch = shop.batch(ref)
    assert (batch.bad_answers, batch.bad_nanos) == (1, first.cost_nanos)
    assert batch.spent_nanos == 2 * batch.bad_nanos
    assert batch.reserved_nanos == 0
    told = asked(shop)[1]["messages"]
    assert [turn["role"] for turn in told] == ["user", "assistant", "user"]
    assert "no usable JSON" in told[2]["content"]


async def test_the_call_that_follows_reserves_what_it_may_cost(shop: Workshop) -> None:
    shop.provider.replies.extend([chat(" ".join(map(str, range(1900))), "length"), chat(GOOD_JSON)])
    await shop.run(shop.submit([line()], given={"schema": SCHEMA}))
    first, second = shop.attempts()
    assert first.error_code == "truncated"
    assert (
        second.reserved_nanos == first.reserved_nanos + 10 * 1000
    )  # ten tokens more at $1 per million
    assert [request["max_tokens"] for request in asked(shop)] == [10, 20]


async def test_a_text_that_was_cut_off_gets_more_room_and_then_fails_with_its_beginning(
    shop: Workshop,
) -> None:
    shop.provider.replies.extend([chat("High", "length"), chat("High wa", "length")])
    ref = shop.submit([line()])
    await shop.run(ref)
    (result,) = shop.results()
    assert (result.status, result.error_code) == (ResultStatus.FAILED, "truncated")
    assert (result.output, result.finish_reason) == ('"High wa"', "truncated")
    assert [request["max_tokens"] for request in asked(shop)] == [10, 20]


async def test_the_beginning_of_a_text_is_taken_where_the_batch_says_so(shop: Workshop) -> None:
    shop.provider.replies.append(chat("High", "length"))
    await shop.run(shop.submit([line()], given={"keep_truncated": "true"}))
    (result,) = shop.results()
    assert (result.status, result.output) == (ResultStatus.SUCCEEDED, '"High"')
    assert (result.finish_reason, len(asked(shop))) == ("truncated", 1)


async def test_a_job_that_only_gets_bad_answers_fails_for_the_last_ones_reason(
    shop: Workshop,
) -> None:
    shop.provider.replies.extend([chat("five")] * 2)
    ref = shop.submit([line()], given={"schema": SCHEMA})
    await shop.run(ref)
    (result,) = shop.results()
    assert (result.status, result.error_code) == (ResultStatus.FAILED, "invalid_json")
    assert shop.batch(ref).bad_answers == 2


async def test_the_routes_next_target_is_asked_after_bad_answers(shop: Workshop) -> None:
    shop.provider.replies.extend([chat(" ")] * 2)
    await shop.run(shop.submit([line(model="cheap")]))
    assert shop.provider.hosts == ["first.test", "first.test", "second.test"]
    assert [result.status for result in shop.results()] == [ResultStatus.SUCCEEDED]


async def test_a_later_lease_does_not_ask_again_what_was_asked_often_enough(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = shop.submit([line(model="cheap")], given={"ask_again": "0"})
    shop.provider.replies.append(chat(" "))
    await stopped_after(shop, ref, 1, monkeypatch)
    await shop.run(ref)
    assert shop.provider.hosts == ["first.test", "second.test"]


class InParts:
    """A kind whose job takes a call for each word of its prompt."""

    name = "generation"
    line_type = GenerationLine

    def check(self, line: GenerationLine) -> None:
        return None

    def plan(self, line: GenerationLine) -> Plan:
        return WordByWord(line)


class WordByWord(Plan):
    def __init__(self, line: GenerationLine) -> None:
        self._line = line

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        words = (self._line.prompt or "").split()
        return tuple(ModelRequest((Message("user", word),), 10) for word in words)

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        return no_answer(answer) or Good(answer.text)

    def join(self, kept: Sequence[Any]) -> Verdict:
        return Good(" ".join(kept))


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {"generation": InParts()}
    monkeypatch.setattr("jobs.lines.KINDS", kinds)
    monkeypatch.setattr(job_run, "KINDS", kinds)


PROMPT = {**line(), "prompt": "one two three"}


@pytest.mark.usefixtures("in_parts")
async def test_parts_are_asked_for_in_their_order_and_joined(shop: Workshop) -> None:
    shop.provider.replies.extend([chat("un"), chat(" "), chat("deux"), chat("trois")])
    ref = shop.submit([PROMPT])
    await shop.run(ref)
    assert [request["messages"][0]["content"] for request in asked(shop)] == [
        *("one", "two", "two", "three")
    ]
    (result,) = shop.results()
    assert (result.output, result.attempt) == ('"un deux trois"', 4)
    assert shop.batch(ref).bad_answers == 1


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("calls", [1, 2])
async def test_a_later_lease_goes_on_at_the_part_where_the_last_one_stopped(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    shop.provider.replies.extend([chat("un"), chat("deux"), chat("trois")])
    ref = shop.submit([PROMPT])
    await stopped_after(shop, ref, calls, monkeypatch)
    assert shop.results() == []
    await shop.run(ref)
    assert [request["messages"][0]["content"] for request in asked(shop)] == [
        *("one", "two", "three")
    ]
    (result,) = shop.results()
    assert (result.output, result.attempt) == ('"un deux trois"', 3)


@pytest.mark.usefixtures("in_parts")
async def test_each_part_has_the_attempts_of_a_job(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a job of hundreds of parts would fail by five accidents."""
    faults = [httpx.Response(500)] * (shop.parts.settings.max_attempts - 1)
    shop.provider.replies.extend([*faults, chat("un"), *faults, chat("deux"), *faults])
    shop.provider.replies.append(chat("trois"))
    ref = shop.submit([PROMPT])
    await stopped_after(shop, ref, 2 * len(faults) + 2, monkeypatch)
    await shop.run(ref)
    (result,) = shop.results()
    assert (result.output, result.attempt) == ('"un deux trois"', 3 * len(faults) + 3)


async def stopped_after(
    shop: Workshop, ref: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a batch's slice until so many calls were answered, and give it back."""
    opened, run = shop.open(ref)

    async def close_in_the_last() -> None:
        if len(shop.provider.seen) == calls:
            opened.close()

    with monkeypatch.context() as patched:
        patched.setattr(shop.provider, "before", close_in_the_last)
        await run.run()
