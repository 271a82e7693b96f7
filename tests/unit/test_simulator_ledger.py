"""The simulator's account: exact money, compact rows."""

import tracemalloc

import orjson
import pytest

from scripts.simulator.calls import Answer, Finish
from scripts.simulator.ledger import Ended, Ledger, LineOfBatch, Requested
from scripts.simulator.prices import DEFAULT_PRICES, Price, parse_price


def an_answer(input_tokens: int = 100, output_tokens: int = 50) -> Answer:
    return Answer("", Finish.COMPLETE, input_tokens, 10, output_tokens, 5)


@pytest.mark.parametrize(
    ("text", "input_tokens", "output_tokens", "cost_nanos"),
    [
        ("m=0.10/0.40", 1000, 500, 300_000),
        ("m=1.00/4.00", 1, 1, 5_000),
        ("m=0.0005/0", 1, 0, 1),  # 0.5 nano-dollars: half up
        ("m=0.000499/0", 1, 0, 0),
        ("m=0.0375/0.15", 3, 0, 113),  # 112.5
        ("m=75/0", 10**9, 0, 75 * 10**12),
    ],
)
def test_a_call_costs_its_tokens_rounded_half_up_once(
    text: str, input_tokens: int, output_tokens: int, cost_nanos: int
) -> None:
    model, price = parse_price(text)
    assert model == "m"
    assert price.cost_nanos(an_answer(input_tokens, output_tokens)) == cost_nanos


def test_what_a_cache_gives_and_takes_has_prices_of_its_own() -> None:
    answer = Answer("", Finish.COMPLETE, 100, 60, 10, 0, cache_write_tokens=30)
    assert parse_price("m=1/2/0.1/1.25")[1].cost_nanos(answer) == 10_000 + 6_000 + 37_500 + 20_000
    assert parse_price("m=1/2/0.1")[1].cost_nanos(answer) == 10_000 + 6_000 + 30_000 + 20_000


@pytest.mark.parametrize(
    "text", ["m=1/2/3/4/5", "m", "m=1", "=1/2", "m=-1/2", "m=0.0000001/1", "m=NaN/1"]
)
def test_a_price_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"price|places"):
        parse_price(text)


def test_a_model_name_may_hold_an_equals_sign() -> None:
    assert parse_price("a=b=1/2") == ("a=b", Price(1_000_000, 2_000_000))


def test_the_summary_counts_tokens_and_money_of_what_was_answered() -> None:
    ledger = Ledger(DEFAULT_PRICES)
    for job_id, answered in (("a", True), ("b", False), ("a", True), ("", True)):
        row = ledger.open(job_id, "openai", "sim-small", 0.0)
        ledger.close(row, 200, an_answer(), answered=answered)
    ledger.close(ledger.open("c", "openai", "sim-large", 0.0), 429, None, answered=False)
    ledger.open("d", "openai", "unheard-of", 0.0)
    each_nanos = 100 * 100 + 50 * 400
    assert ledger.summary() == {
        "requests": 6,
        "answered": 3,
        "in_flight": 1,
        "max_in_flight": 1,
        "by_status": {"200": 4, "429": 1, "0": 1},
        "tokens": {"input": 300, "cached": 30, "cache_write": 0, "output": 150, "reasoning": 15},
        "lies": {},
        "cost_nanos": 3 * each_nanos,
        "unanswered_cost_nanos": each_nanos,
        "job_ids_answered": 1,
        "answered_without_job_id": 1,
        "answered_more_than_once": {"count": 1, "first": ["a"]},
        "unpriced_models": ["unheard-of"],
        "lanes": {
            "live": {
                "requests": 6,
                "answered": 3,
                "cost_nanos": 4 * each_nanos,
                "list_cost_nanos": 4 * each_nanos,
            },
            "batch": {
                "requests": 0,
                "answered": 0,
                "cost_nanos": 0,
                "list_cost_nanos": 0,
                "batches": 0,
            },
        },
    }


def test_a_line_of_a_batch_costs_half_and_is_answered_once_it_was_fetched() -> None:
    told: list[bytes] = []
    ledger = Ledger(DEFAULT_PRICES, told.append)
    requested = Requested("job-1", "openai", "sim-small")
    row = ledger.run(LineOfBatch("batch_1", "r-0-1"), requested, 1.0, Ended(200, an_answer(1, 0)))
    failed = ledger.run(LineOfBatch("batch_1", "r-1-1"), requested, 1.0, Ended(500, None))
    assert (ledger.summary()["answered"], ledger.summary()["unanswered_cost_nanos"]) == (0, 50)
    for _ in range(2):
        ledger.deliver([row, failed])
    summary = ledger.summary()
    assert (summary["answered"], summary["max_in_flight"]) == (1, 0)
    assert summary["lanes"]["batch"] == {
        "requests": 2,
        "answered": 1,
        "cost_nanos": 50,
        "list_cost_nanos": 100,
        "batches": 1,
    }
    lines = [orjson.loads(line) for line in told]
    assert [(line["line_id"], line["answered"]) for line in lines] == [
        ("r-0-1", False),
        ("r-1-1", False),
        ("r-0-1", True),
    ]
    assert {(line["lane"], line["batch"], line["job_id"]) for line in lines} == {
        ("batch", "batch_1", "job-1")
    }
    assert ledger.by_second() == {}


def test_only_the_first_twenty_repeats_are_named() -> None:
    ledger = Ledger({})
    for number in range(50):
        row = ledger.open(f"j{number % 25}", "openai", "m", 0.0)
        ledger.close(row, 200, an_answer(), answered=True)
    repeated = ledger.summary()["answered_more_than_once"]
    assert (repeated["count"], len(repeated["first"])) == (25, 20)


def test_a_request_takes_at_most_150_bytes_of_memory() -> None:
    tracemalloc.start()
    try:
        ledger = Ledger(DEFAULT_PRICES)
        before_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(50_000):
            row = ledger.open(f"job-{number:08}", "openai", "sim-small", float(number))
            ledger.close(row, 200, an_answer(), answered=True)
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after_bytes - before_bytes) / 50_000 <= 150
