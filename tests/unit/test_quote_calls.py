"""What a call may cost, computed by hand; and how often one is made, against the dialogue itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.defaults import JobDefaults
from jobs.kinds.kind import Remedy
from jobs.lines import CallSize
from jobs.prices import Price, Rates
from jobs.quote.calls import (
    EARLIER_TOKENS,
    FAULT_TOKENS,
    CallRange,
    Insistence,
    high_nanos,
    low_nanos,
    range_of,
)
from jobs.routing import Target
from tests.unit.test_dialogue import Script, answer, bad
from workers.job.dialogue import Anew, Dialogue, Policy

DOLLAR_A_MILLION = 1_000_000_000
"""In nano-dollars per million tokens: a token costs 1,000 nano-dollars."""

CHEAP = Price(((0, Rates(DOLLAR_A_MILLION, DOLLAR_A_MILLION, DOLLAR_A_MILLION, 4_000_000_000)),))
CACHING = Price(((0, Rates(DOLLAR_A_MILLION, 100_000_000, 1_250_000_000, 4_000_000_000)),))
DEAR = Price(((0, Rates(10_000_000_000, 10_000_000_000, 10_000_000_000, 40_000_000_000)),))

SHORT = CallRange(low_input=75, high_input=135, most_input=400, max_output=50)
LONG = CallRange(low_input=2_000, high_input=4_000, most_input=9_000, max_output=50)


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [("gpt-4o", 75, 135), ("claude-3-5-haiku", 75, 149), ("claude-opus-5", 75, 189)],
)
def test_input_is_as_estimated_but_for_the_error_of_estimates(
    model: str, low: int, high: int
) -> None:
    call = range_of(CallSize(100, 400, 50), model, is_first=True)
    assert call == CallRange(low, high, 400, 50)


def test_input_is_never_more_than_its_bytes() -> None:
    assert range_of(CallSize(100, 120, 50), "gpt-4o", is_first=True).high_input == 120


def test_a_later_part_may_be_told_how_the_one_before_ended() -> None:
    call = range_of(CallSize(100, 400, 50), "gpt-4o", is_first=False)
    assert call == CallRange(75, 135 + EARLIER_TOKENS, 400 + EARLIER_TOKENS, 50)


def test_a_short_call_answers_in_a_word_or_to_its_bound_and_no_cache_counts() -> None:
    assert low_nanos(SHORT, CHEAP) == 75 * 1000 + 1 * 4000
    assert high_nanos(SHORT, CHEAP) == 135 * 1000 + 50 * 4000
    # Nobody caches so little.
    assert low_nanos(SHORT, CACHING) == low_nanos(SHORT, CHEAP)
    assert high_nanos(SHORT, CACHING) == high_nanos(SHORT, CHEAP)


def test_a_long_call_may_be_read_from_a_cache_or_fill_one() -> None:
    assert low_nanos(LONG, CACHING) == 2_000 * 100 + 1 * 4000
    assert high_nanos(LONG, CACHING) == 4_000 * 1250 + 50 * 4000


def test_the_worst_is_every_answer_bad_in_every_way() -> None:
    """Cut off at 50, then bad at 100, then told so: 50 + 100 + 100 tokens out."""
    insistence = Insistence(ask_again=1, raise_max_tokens=None, escalate=True)
    told = SHORT.most_input + 100 + FAULT_TOKENS
    by_hand = (400 + 400 + told) * 1000 + (50 + 100 + 100) * 4000
    assert insistence.worst_nanos(SHORT, [CHEAP]) == by_hand


def test_the_worst_is_asked_of_the_dearest_target_as_often_as_of_all() -> None:
    insistence = Insistence(ask_again=0, raise_max_tokens=50, escalate=True)
    once = 400 * 10_000 + 50 * 40_000
    assert insistence.worst_nanos(SHORT, [CHEAP, DEAR]) == 2 * once
    patient = Insistence(ask_again=0, raise_max_tokens=50, escalate=False)
    assert patient.worst_nanos(SHORT, [CHEAP, DEAR]) == once


TARGETS = tuple(Target("p", name) for name in ("small", "middle", "large"))


@given(
    remedies=st.lists(st.sampled_from(Remedy), min_size=40, max_size=40),
    answered_by=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    targets=st.integers(1, 3),
    defaults=st.builds(
        JobDefaults,
        ask_again=st.integers(0, 5),
        raise_max_tokens=st.none() | st.integers(50, 1000),
        escalate=st.booleans(),
    ),
)
def test_no_dialogue_takes_more_calls_or_longer_ones_than_the_worst(
    remedies: list[Remedy], answered_by: list[int], targets: int, defaults: JobDefaults
) -> None:
    """Whatever is wrong with the answers, and whichever target gives them."""
    plan = Script(verdicts=[bad(remedy) for remedy in remedies])
    talk = Dialogue(plan, Policy.of(defaults), TARGETS[:targets], estimated_tokens=1)
    bounds, told = [], 0
    for index in answered_by:
        bounds.append(talk.request.max_tokens)
        told += len(talk.request.messages) > 1
        answered = talk.targets[index % len(talk.targets)]
        if not isinstance(talk.hear(answer(), answered), Anew):
            break
    insistence = Insistence.of(defaults)
    *raised, highest = insistence.limits(100)
    turns = targets if defaults.escalate else 1
    most = len(raised) + turns * (1 + defaults.ask_again)
    assert len(bounds) <= most
    assert told <= turns * defaults.ask_again
    worst = sorted([*raised, *[highest] * (most - len(raised))], reverse=True)
    assert all(
        bound <= allowed
        for bound, allowed in zip(sorted(bounds, reverse=True), worst, strict=False)
    )
