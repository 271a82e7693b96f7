"""What calls will use: start values, learning, doubt, and the bounds that no history moves."""

import math
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.exchange import Usage
from jobs.vocabularies import start_ratio
from workers.job.forecast import (
    ENOUGH_ANSWERS,
    HIGHEST_RATIO,
    KEPT,
    LOWEST_RATIO,
    MEMORY_ANSWERS,
    SMALLEST_PART,
    Forecast,
)

COUNTS = st.integers(0, 100_000_000)


def answered(
    outputs: Iterable[int],
    *,
    forecast: Forecast | None = None,
    batch_id: int = 1,
    model: str = "m",
) -> Forecast:
    forecast = forecast or Forecast()
    for output in outputs:
        forecast.observe("p", model, batch_id, 100, Usage(100, output_tokens=output))
    return forecast


def prompted(
    inputs: Iterable[tuple[int, int]], *, forecast: Forecast | None = None, model: str = "m"
) -> Forecast:
    """Return what has learned from (estimated, real) input tokens."""
    forecast = forecast or Forecast()
    for estimated, real in inputs:
        forecast.observe("p", model, 1, estimated, Usage(real))
    return forecast


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        ("gpt-4o-mini", 1.0),
        ("gemini-2.5-flash", 1.0),
        ("mistral-small-latest", 1.08),
        ("open-mixtral-8x22b", 1.08),
        ("Ministral-8B", 1.08),
        ("claude-3-5-haiku-20241022", 1.1),
        ("claude-instant-1.2", 1.1),
        ("claude-opus-4-20250514", 1.1),
        ("claude-opus-4-6", 1.1),
        ("anthropic/claude-sonnet-4.6", 1.1),
        ("claude-opus-4-7", 1.4),
        ("claude-opus-4-7-20260401", 1.4),
        ("claude-haiku-5", 1.4),
        ("claude-sonnet-10-1", 1.4),
        ("claude-latest", 1.4),
        ("", 1.0),
    ],
)
def test_before_any_answer_the_ratio_is_guessed_by_the_name(model: str, ratio: float) -> None:
    assert start_ratio(model) == ratio
    assert Forecast().input_tokens("p", model, 1000) == math.ceil(1000 * ratio)


def test_a_guess_gives_way_to_what_answers_show() -> None:
    forecast = prompted([(1000, 500)] * 4)
    assert forecast.input_tokens("p", "m", 1000) == 750

    prompted([(1000, 500)] * MEMORY_ANSWERS, forecast=forecast)
    assert 500 < forecast.input_tokens("p", "m", 1000) < 515


def test_every_input_token_counts_however_it_was_priced() -> None:
    forecast = Forecast()
    for _ in range(20 * MEMORY_ANSWERS):
        forecast.observe("p", "m", 1, 1000, Usage(100, 1500, 400))

    assert forecast.input_tokens("p", "m", 10) == 20


def test_the_ratio_is_of_tokens_and_not_of_calls() -> None:
    """Four short calls with a large frame say little about the long ones that spend the limit."""
    short, long = [(10, 40)] * 4, [(10_000, 10_000)]
    forecast = prompted((short + long) * MEMORY_ANSWERS)

    assert forecast.input_tokens("p", "m", 10_000) == pytest.approx(10_120, abs=30)


def test_a_change_of_the_texts_is_followed() -> None:
    forecast = prompted([(1000, 3000)] * 10_000)
    prompted([(1000, 800)] * (5 * MEMORY_ANSWERS), forecast=forecast)

    assert 800 <= forecast.input_tokens("p", "m", 1000) < 820


def test_what_a_model_shows_at_one_provider_holds_for_no_other() -> None:
    forecast = prompted([(1000, 3000)] * 100)

    assert forecast.input_tokens("q", "m", 1000) == 1000
    assert forecast.input_tokens("p", "n", 1000) == 1000


@pytest.mark.parametrize(("estimated", "real"), [(0, 50), (50, 0), (0, 0)])
def test_no_ratio_is_learned_from_nothing(estimated: int, real: int) -> None:
    assert prompted([(estimated, real)]).input_tokens("p", "m", 1000) == 1000


@given(
    calls=st.lists(st.tuples(COUNTS, COUNTS), max_size=30),
    model=st.sampled_from(["m", "claude-opus-5", "mistral-large"]),
    estimated=COUNTS,
)
def test_no_history_moves_the_ratio_beyond_its_bounds(
    calls: list[tuple[int, int]], model: str, estimated: int
) -> None:
    found = prompted(calls, model=model).input_tokens("p", model, estimated)

    assert math.ceil(LOWEST_RATIO * estimated) <= found <= HIGHEST_RATIO * estimated


@given(ratio=st.floats(LOWEST_RATIO, HIGHEST_RATIO), size=st.integers(1000, 1_000_000))
def test_a_steady_ratio_is_found(ratio: float, size: int) -> None:
    forecast = prompted([(size, round(size * ratio))] * (5 * MEMORY_ANSWERS))

    assert forecast.input_tokens("p", "m", size) == pytest.approx(size * ratio, rel=0.03, abs=2)


@pytest.mark.parametrize("bound", [1, 16, 300, 32_000])
def test_before_any_answer_a_call_is_expected_to_use_its_bound(bound: int) -> None:
    assert Forecast().output_tokens(1, "m", bound) == bound


def test_steady_outputs_are_found_after_enough_answers() -> None:
    forecast = answered([120] * ENOUGH_ANSWERS)

    assert forecast.output_tokens(1, "m", 32_000) == 120
    assert forecast.output_tokens(1, "m", 50) == 50


def test_each_answer_takes_some_of_the_caution_off() -> None:
    forecast = Forecast()
    foretold = [forecast.output_tokens(1, "m", 32_000)]
    for _ in range(ENOUGH_ANSWERS):
        answered([100], forecast=forecast)
        foretold.append(forecast.output_tokens(1, "m", 32_000))

    assert foretold == sorted(foretold, reverse=True)
    assert (foretold[0], foretold[-1]) == (32_000, 100)
    assert foretold[ENOUGH_ANSWERS // 2] == math.ceil(math.sqrt(SMALLEST_PART * 32_000 * 100))


def test_a_spread_is_answered_with_a_margin_above_the_mean() -> None:
    drawn = random.Random(7)  # noqa: S311 - a repeatable workload
    outputs = [round(drawn.lognormvariate(5.0, 0.8)) for _ in range(3000)]
    forecast = answered(outputs)
    mean = sum(outputs) / len(outputs)

    assert mean < forecast.output_tokens(1, "m", 4000) < 1.4 * mean


def test_another_batch_of_the_model_starts_from_what_the_model_showed() -> None:
    forecast = answered([500] * 100, batch_id=1)

    assert forecast.output_tokens(2, "m", 1000) == 500
    assert forecast.output_tokens(2, "another", 1000) == 1000


def test_labels_for_one_batch_do_not_let_another_ones_chapters_through() -> None:
    forecast = answered([3] * 100, batch_id=1)

    assert forecast.output_tokens(1, "m", 4000) == 3
    assert forecast.output_tokens(2, "m", 4000) == SMALLEST_PART * 4000


def test_a_batch_that_writes_more_than_the_model_used_to_is_noticed() -> None:
    forecast = answered([100] * 1000, batch_id=1)
    answered([900] * ENOUGH_ANSWERS, forecast=forecast, batch_id=2)

    assert forecast.output_tokens(2, "m", 1000) == 900
    assert forecast.output_tokens(1, "m", 1000) == 100


def test_answers_that_say_nothing_are_expected_to_be_one_token() -> None:
    assert answered([0] * ENOUGH_ANSWERS).output_tokens(1, "m", 100) == 1


def test_nothing_is_learned_of_unknown_usage() -> None:
    forecast = Forecast()
    forecast.observe("p", "m", 1, 100, None)

    assert forecast.output_tokens(1, "m", 100) == 100
    assert forecast.input_tokens("p", "m", 100) == 100


@given(
    answers=st.lists(st.tuples(st.integers(1, 3), COUNTS), max_size=60),
    batch_id=st.integers(1, 4),
    bound=st.integers(0, 1_000_000),
)
def test_no_history_foretells_more_than_the_bound(
    answers: list[tuple[int, int]], batch_id: int, bound: int
) -> None:
    forecast = Forecast()
    for of_batch, output in answers:
        answered([output], forecast=forecast, batch_id=of_batch)

    found = forecast.output_tokens(batch_id, "m", bound)

    assert min(1, bound) <= found <= bound


@settings(max_examples=30)
@given(
    before=st.lists(st.integers(0, 2000), max_size=40),
    output=st.integers(1, 10_000),
    other_batch=st.booleans(),
)
def test_steady_outputs_are_found_whatever_came_before(
    before: list[int], output: int, other_batch: bool
) -> None:
    forecast = answered(before, batch_id=2 if other_batch else 1)
    answered([output] * (12 * MEMORY_ANSWERS), forecast=forecast)

    assert forecast.output_tokens(1, "m", 10_000) == pytest.approx(output, rel=0.02, abs=4)


def test_what_is_remembered_is_bounded_and_the_longest_unanswered_go() -> None:
    forecast = answered([10] * ENOUGH_ANSWERS, batch_id=0)
    for batch_id in range(1, KEPT):
        answered([10], forecast=forecast, batch_id=batch_id, model=f"m{batch_id}")
    answered([10], forecast=forecast, batch_id=0)
    answered([10] * ENOUGH_ANSWERS, forecast=forecast, batch_id=KEPT, model="new")

    assert forecast.output_tokens(0, "m", 1000) == 10
    assert forecast.output_tokens(KEPT, "new", 1000) == 10
    assert forecast.output_tokens(1, "m1", 1000) == 1000


def test_the_allowance_for_unknown_texts_fades_with_the_answers() -> None:
    forecast = Forecast()
    assert forecast.cautious_input_tokens("p", "m", 1000) == 1250
    for _ in range(200):
        forecast.observe("p", "m", 1, 1000, Usage(input_tokens=1000, output_tokens=1))
    assert 1000 <= forecast.cautious_input_tokens("p", "m", 1000) <= 1010
