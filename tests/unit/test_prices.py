"""Prices: those of genai-prices to the nano-dollar, over them the operator's own."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from jobs.configuration import Configuration
from jobs.errors import ConfigurationError
from jobs.exchange import Lane, Usage
from jobs.prices import Price, PriceBook, Rates

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "openai": {"protocol": "openai", "base_url": "https://api.openai.com/v1"},
            "claude": {"protocol": "anthropic", "base_url": "https://api.anthropic.com"},
            "gemini": {
                "protocol": "gemini",
                "base_url": "https://generativelanguage.googleapis.com",
            },
            "mistral": {"protocol": "mistral", "base_url": "https://api.mistral.ai/v1"},
            "fast": {"protocol": "openai", "base_url": "https://api.groq.com/openai/v1"},
            "anthropic": {"protocol": "anthropic", "base_url": "http://127.0.0.1:9"},
            "local": {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1"},
            "openai-mirror": {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1"},
        },
        "prices": {
            "openai/my-finetune": {"input": "0.30", "output": "1.20"},
            "openai/gpt-4o": {
                "input": "1",
                "cached_input": "0.5",
                "cache_write": "1.25",
                "output": "2",
            },
            "openai/own-batches": {
                "input": "1",
                "output": "2",
                "cached_input": "0.9",
                "batch_input": "0.5",
                "batch_output": "1",
                "batch_cached_input": "0.1",
            },
            "local/gemma": {"input": "0", "output": "0"},
        },
    }
)
BOOK = PriceBook(CONFIGURATION)

PUBLISHERS = {"openai": "openai", "claude": "anthropic", "gemini": "google", "mistral": "mistral"}

USAGES = [
    Usage(),
    Usage(input_tokens=1),
    Usage(output_tokens=1),
    Usage(input_tokens=997, cached_input_tokens=13, cache_write_tokens=7, output_tokens=331),
    Usage(input_tokens=100_000),
    Usage(input_tokens=128_001, output_tokens=3),
    Usage(input_tokens=150_000, cached_input_tokens=50_000, output_tokens=9),
    Usage(input_tokens=150_000, cached_input_tokens=50_001, output_tokens=9, reasoning_tokens=9),
    Usage(input_tokens=272_000, output_tokens=77),
    Usage(input_tokens=1, cached_input_tokens=271_999, cache_write_tokens=1, output_tokens=77),
    Usage(input_tokens=987_654, cached_input_tokens=1, cache_write_tokens=2, output_tokens=65_537),
]


def published_nanos(
    publisher: str, model: str, usage: Usage, at: datetime, lane: Lane = Lane.LIVE
) -> int:
    """Return what genai-prices calculates, rounded half up to a nano-dollar."""
    calculated = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.total_input_tokens,
            cache_read_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
        ),
        model,
        provider_id=publisher,
        genai_request_timestamp=at,
        price_context={"processing": "batch"} if lane is Lane.BATCH else None,
    )
    nanos = calculated.total_price * 1_000_000_000
    return int(nanos.quantize(Decimal(1), ROUND_HALF_UP))


@pytest.mark.parametrize("provider", PUBLISHERS)
def test_every_published_text_model_costs_exactly_what_genai_prices_calculates(
    provider: str,
) -> None:
    publisher = PUBLISHERS[provider]
    models = next(known for known in get_snapshot().providers if known.id == publisher).models
    overridden = {"gpt-4o"}
    priced = 0
    for model in {model.id for model in models} - overridden:
        price = BOOK.price(provider, model, NOW)
        if price is None:
            continue
        priced += 1
        in_batch = BOOK.price(provider, model, NOW, Lane.BATCH)
        assert in_batch is not None
        for usage in USAGES:
            expected = published_nanos(publisher, model, usage, NOW)
            assert price.cost_nanos(usage) == expected, (model, usage)
            halved = published_nanos(publisher, model, usage, NOW, Lane.BATCH)
            assert in_batch.cost_nanos(usage) == halved, (model, usage)
    assert priced > 0.6 * len(models)


@given(
    model=st.sampled_from(
        [
            ("openai", "gpt-5.4"),
            ("openai", "gpt-5.6-sol"),
            ("claude", "claude-haiku-5-5"),
            ("claude", "claude-sonnet-4-5"),
            ("gemini", "gemini-2.5-pro"),
            ("mistral", "mistral-small-latest"),
        ]
    ),
    counts=st.tuples(*[st.integers(0, 400_000)] * 4),
)
def test_any_usage_costs_exactly_what_genai_prices_calculates(
    model: tuple[str, str], counts: tuple[int, int, int, int]
) -> None:
    provider, name = model
    price = BOOK.price(provider, name, NOW)
    assert price is not None
    usage = Usage(*counts)
    assert price.cost_nanos(usage) == published_nanos(PUBLISHERS[provider], name, usage, NOW)


def test_a_long_request_is_charged_at_its_tier_as_a_whole() -> None:
    price = BOOK.price("openai", "gpt-5.4", NOW)
    assert price is not None
    assert price.cost_nanos(Usage(input_tokens=272_000)) == 680_000_000
    assert price.cost_nanos(Usage(input_tokens=273_000)) == 1_365_000_000


def test_a_price_is_that_of_its_day() -> None:
    before = BOOK.price("openai", "o3", datetime(2025, 6, 9, 23, 59, tzinfo=UTC))
    after = BOOK.price("openai", "o3", datetime(2025, 6, 10, 0, 0, tzinfo=UTC))
    assert before is not None
    assert after is not None
    assert before.cost_nanos(Usage(input_tokens=1_000_000)) == 10_000_000_000
    assert after.cost_nanos(Usage(input_tokens=1_000_000)) == 2_000_000_000


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("local", "gpt-4o-mini"),
        ("local", "claude-haiku-4-5"),
        ("openai-mirror", "gpt-4o-mini"),
        ("not-configured", "gpt-4o-mini"),
        ("openai", "ft:gpt-4o-mini:mine"),
        ("openai", "no-such-model"),
        ("openai", "text-embedding-3-small"),
        ("gemini", "gemma-3"),
        ("mistral", "mistral-ocr-latest"),
    ],
)
def test_what_is_not_known_has_no_price_rather_than_zero(provider: str, model: str) -> None:
    assert BOOK.price(provider, model, NOW) is None


def test_the_address_tells_whose_prices_hold_and_then_the_name() -> None:
    assert BOOK.price("fast", "llama-3.3-70b-versatile", NOW) is not None
    assert BOOK.price("claude", "claude-haiku-4-5", NOW) is not None
    assert BOOK.price("anthropic", "claude-haiku-4-5", NOW) is not None


def test_the_prefix_that_gemini_puts_before_its_models_is_no_part_of_the_name() -> None:
    plain = BOOK.price("gemini", "gemini-2.5-flash", NOW)
    assert plain is not None
    assert BOOK.price("gemini", "models/gemini-2.5-flash", NOW) == plain


def test_the_configuration_goes_before_what_is_published() -> None:
    own = BOOK.price("openai", "gpt-4o", NOW)
    assert own == Price(((0, Rates(1_000_000_000, 500_000_000, 1_250_000_000, 2_000_000_000)),))


def test_an_own_price_charges_cached_and_written_input_as_input_unless_told_otherwise() -> None:
    own = BOOK.price("openai", "my-finetune", NOW)
    assert own == Price(((0, Rates(300_000_000, 300_000_000, 300_000_000, 1_200_000_000)),))


def test_a_native_batch_costs_half_where_that_is_published() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    for provider, model in [
        ("openai", "gpt-4o-mini"),
        ("claude", "claude-haiku-4-5"),
        ("gemini", "gemini-2.5-flash"),
        ("mistral", "mistral-small-latest"),
    ]:
        live = BOOK.price(provider, model, NOW)
        in_batch = BOOK.price(provider, model, NOW, Lane.BATCH)
        assert live is not None
        assert in_batch is not None
        assert 2 * in_batch.cost_nanos(usage) == live.cost_nanos(usage)


@pytest.mark.parametrize(
    ("provider", "model"), [("gemini", "gemini-3.5-flash"), ("openai", "my-finetune")]
)
def test_half_of_a_price_is_never_assumed(provider: str, model: str) -> None:
    live = BOOK.price(provider, model, NOW)
    assert live is not None
    assert BOOK.price(provider, model, NOW, Lane.BATCH) == live


def test_an_own_price_may_name_that_of_native_batches() -> None:
    live = BOOK.price("openai", "own-batches", NOW)
    in_batch = BOOK.price("openai", "own-batches", NOW, Lane.BATCH)
    assert live == Price(((0, Rates(1_000_000_000, 900_000_000, 1_000_000_000, 2_000_000_000)),))
    assert in_batch == Price(((0, Rates(500_000_000, 100_000_000, 500_000_000, 1_000_000_000)),))


def test_an_own_price_may_be_zero() -> None:
    own = BOOK.price("local", "gemma", NOW)
    assert own is not None
    assert own.cost_nanos(USAGES[-1]) == 0


@pytest.mark.parametrize("dollars", ["0.0000000001", "1e30"])
def test_an_own_price_that_nano_dollars_cannot_hold_is_refused(dollars: str) -> None:
    configuration = Configuration.model_validate(
        {"prices": {"local/m": {"input": dollars, "output": "1"}}}
    )
    with pytest.raises(ConfigurationError, match="local/m"):
        PriceBook(configuration)


def test_a_cost_is_rounded_half_up_once() -> None:
    price = Price(((0, Rates(250_000, 250_000, 250_000, 250_000)),))
    assert price.cost_nanos(Usage(input_tokens=1)) == 0
    assert price.cost_nanos(Usage(input_tokens=2)) == 1
    assert price.cost_nanos(Usage(1, 1, 1, 1)) == 1
    assert price.worst_case_nanos(1, 1) == 1


RATES = st.builds(Rates, *[st.integers(0, 10**13)] * 4)
PRICES = st.builds(
    lambda first, rest: Price(((0, first), *sorted(rest.items()))),
    RATES,
    st.dictionaries(st.integers(1, 500_000), RATES, max_size=3),
)


@given(PRICES)
def test_a_stored_price_is_read_back_as_it_was(price: Price) -> None:
    assert Price.from_json(price.to_json()) == price


def test_a_stored_price_is_compact() -> None:
    price = Price(((0, Rates(1, 2, 3, 4)), (200_000, Rates(5, 6, 7, 8))))
    assert price.to_json() == "[[0,1,2,3,4],[200000,5,6,7,8]]"


@given(PRICES, st.tuples(*[st.integers(0, 300_000)] * 4), st.integers(0, 100_000))
def test_nothing_within_the_reserved_counts_costs_more_than_the_worst_case(
    price: Price, counts: tuple[int, int, int, int], unused: int
) -> None:
    usage = Usage(*counts)
    worst = price.worst_case_nanos(usage.total_input_tokens, usage.output_tokens + unused)
    assert price.cost_nanos(usage) <= worst


def test_the_worst_case_reckons_with_a_tier_that_an_estimate_just_misses() -> None:
    price = Price(((0, Rates(1_000_000, 0, 0, 0)), (200_000, Rates(2_000_000, 0, 0, 0))))
    assert price.worst_case_nanos(100_000, 0) == 100_000
    assert price.worst_case_nanos(100_001, 0) == 200_002


def test_what_a_cache_saves_is_the_list_price_less_what_was_paid() -> None:
    price = Price(((0, Rates(1_000_000, 100_000, 1_250_000, 2_000_000)),))
    usage = Usage(10, 1000, 200, output_tokens=5)
    assert price.cache_saved_nanos(usage) == 1210 + 10 - (10 + 100 + 250 + 10)
    assert price.cache_saved_nanos(Usage(0, 0, 200)) == -50
    assert price.cache_saved_nanos(Usage(10, output_tokens=5)) == 0


def test_a_cached_token_is_saved_on_in_the_tier_that_applies() -> None:
    price = Price(((0, Rates(1_000_000, 0, 0, 0)), (100, Rates(2_000_000, 500_000, 0, 0))))
    assert price.cache_saved_nanos(Usage(1, 100)) == 2 * 101 - (2 + 50)


@pytest.mark.parametrize(
    ("rates", "pays"),
    [
        ((1000, 100, 1250, 1), True),
        ((1000, 100, 1000, 1), True),
        ((1000, 1000, 1000, 1), False),  # nobody has told what a cache costs
        ((1000, 500, 1500, 1), False),
    ],
)
def test_a_cache_pays_if_writing_and_reading_it_once_is_cheaper(
    rates: tuple[int, int, int, int], pays: bool
) -> None:
    assert Price(((0, Rates(*rates)),)).makes_caching_pay is pays
