"""Which call is whose: every billed call of a job finds its attempt, or is told."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.billing import AccountLine, BilledCall, ChargedAttempt, compare
from jobs.exchange import Usage
from jobs.prices import Price, Rates
from jobs.states import Outcome

PRICE = Price(((0, Rates(1_000_000, 1_000_000, 1_000_000, 1_000_000)),)).to_json()


def known(n: int, tokens: int, **changes: Any) -> ChargedAttempt:
    made = ChargedAttempt(n, "m", Outcome.SUCCEEDED, False, Usage(tokens), tokens, PRICE)
    return msgspec.structs.replace(made, **changes)


def lost(n: int, **changes: Any) -> ChargedAttempt:
    made = ChargedAttempt(n, "m", Outcome.UNKNOWN, True, None, 1000, PRICE)
    return msgspec.structs.replace(made, **changes)


def call(tokens: int, model: str = "m", *, answered: bool = True) -> BilledCall:
    return BilledCall(model, Usage(tokens), tokens, answered)


def line(**fields: Any) -> AccountLine:
    text = msgspec.json.encode({"input_tokens": 0, "output_tokens": 0, **fields})
    return msgspec.json.decode(text, type=AccountLine)


def test_a_lost_answers_call_is_what_the_known_attempts_leave() -> None:
    found = compare([lost(1), known(2, 7)], [call(7), call(9)])
    assert found.agreed == [(known(2, 7), call(7))]
    assert found.learned == [(lost(1), call(9))]
    assert [found.drifted, found.unrecorded, found.overcharged, found.unseen] == [[], [], [], []]


def test_an_answer_without_usage_takes_an_answered_call_before_a_lost_one_does() -> None:
    without = lost(2, outcome=Outcome.SUCCEEDED)
    found = compare([lost(1), without], [call(3, answered=False), call(4)])
    assert found.learned == [(without, call(4)), (lost(1), call(3, answered=False))]
    assert compare([lost(1), without], [call(4)]).unseen == [lost(1)]
    assert compare([without], []).overcharged == [without]


def test_a_call_goes_to_the_attempt_at_its_model_and_else_to_any() -> None:
    first, second = lost(1, model="a"), lost(2, model="b")
    assert compare([first, second], [call(3, "b")]).learned == [(second, call(3, "b"))]
    assert compare([first], [call(3, "a-2026-01-31")]).learned == [(first, call(3, "a-2026-01-31"))]


def test_a_call_in_flight_may_be_billed_already() -> None:
    made = ChargedAttempt(1, "m", None, False, None, None, PRICE)
    assert compare([made], [call(3)]).in_flight == [(made, call(3))]
    assert compare([made], []).overcharged == []


def test_what_cost_nothing_needs_no_call_and_is_none() -> None:
    found = compare([known(1, 0)], [call(0)])
    assert (found.overcharged, found.unrecorded) == ([], [])


def test_without_a_cost_the_account_tells_tokens_and_the_attempt_the_price() -> None:
    told = BilledCall("m", Usage(7), None, True)
    assert compare([known(1, 7)], [told]).agreed
    assert compare([known(1, 8)], [told]).drifted
    assert lost(1).cost_of(told) == 7
    assert lost(1, price=None).cost_of(told) is None


TOKENS = st.integers(min_value=0, max_value=4)
ATTEMPTS = st.lists(
    st.builds(known, st.integers(1, 9), TOKENS) | st.builds(lost, st.integers(1, 9))
)


@given(attempts=ATTEMPTS, calls=st.lists(st.builds(call, TOKENS)))
def test_every_attempt_and_every_billed_call_is_told_once(
    attempts: list[ChargedAttempt], calls: list[BilledCall]
) -> None:
    found = compare(attempts, calls)
    pairs = [*found.agreed, *found.drifted, *found.learned, *found.in_flight]
    costly = [made for made in attempts if made.is_unknown or made.cost_nanos]
    assert sorted(
        [made.n for made, _ in pairs] + [made.n for made in found.unseen + found.overcharged]
    ) == sorted(made.n for made in costly)
    assert sum(told.cost_nanos or 0 for _, told in pairs) + sum(
        told.cost_nanos or 0 for told in found.unrecorded
    ) == sum(told.cost_nanos or 0 for told in calls)
    assert not (found.unrecorded and (found.unseen or found.overcharged))


def test_a_line_is_read_as_a_simulators_row_or_with_the_words_of_a_job() -> None:
    row = line(
        job_id="a", input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=2, status=9
    )
    assert row.call().usage == Usage(6, 4, 0, 5, 2)
    own = line(custom_id="b", job_id="a", cost_usd="0.000000012")
    assert (row.name, own.name, own.call().cost_nanos) == ("a", "b", 12)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "`custom_id` or `job_id`"),
        ({"custom_id": "a", "cached_tokens": 1}, "those of the cache"),
        ({"custom_id": "a", "reasoning_tokens": 1}, "those of reasoning"),
        ({"custom_id": "a", "cost_nanos": 1, "cost_usd": "1"}, "not both"),
        ({"custom_id": "a", "cost_usd": "1e-10"}, "nine decimal places"),
        ({"custom_id": "a", "cost_usd": 1.5}, r"`\$.cost_usd`"),
        ({"custom_id": "a", "input_tokens": -1}, ">= 0"),
    ],
)
def test_a_line_that_cannot_be_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        line(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"custom_id": "a", "input_tokens": 100_000_001},
        {"custom_id": "a", "output_tokens": 2**53},
        {"custom_id": "a", "cost_nanos": 10**15 + 1},
        {"custom_id": "a", "cost_usd": "1000000.000000001"},
        {"custom_id": "a" * 513},
        {"job_id": "a" * 513},
        {"custom_id": "a", "model": "m" * 257},
    ],
)
def test_what_no_call_can_be_is_no_line(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        line(**fields)


def test_the_largest_call_that_there_may_be_is_a_line() -> None:
    tokens = {"input_tokens": 100_000_000, "output_tokens": 100_000_000}
    assert line(custom_id="a" * 512, model="m" * 256, cost_usd="1000000", **tokens).call().is_billed
