"""What calls cost at each kind of provider, before and after."""

import pytest

from jobs.charging import Charging, charging_of
from jobs.configuration import Provider
from jobs.exchange import Usage
from workers.gate.charging import Costs, correction, taken
from workers.gate.gate import Ask

ASK = Ask("p", "m", input_tokens=100, output_tokens=40, max_output_tokens=500, priority="bulk")
USAGE = Usage(input_tokens=70, cached_input_tokens=20, cache_write_tokens=10, output_tokens=25)


@pytest.mark.parametrize(
    ("protocol", "base_url", "charging"),
    [
        ("openai", "https://api.openai.com/v1", Charging.UP_FRONT),
        ("openai", "https://eu.api.openai.com/v1", Charging.UP_FRONT),
        ("openai", "http://127.0.0.1:8000/v1", Charging.TOTAL),
        ("openai", "https://notopenai.com/v1", Charging.TOTAL),
        ("anthropic", "https://api.anthropic.com", Charging.UNCACHED),
        ("gemini", "https://generativelanguage.googleapis.com", Charging.INPUT),
        ("mistral", "https://api.mistral.ai/v1", Charging.TOTAL),
    ],
)
def test_a_provider_charges_as_it_documents(
    protocol: str, base_url: str, charging: Charging
) -> None:
    provider = Provider.model_validate({"protocol": protocol, "base_url": base_url})
    assert charging_of(provider) is charging


@pytest.mark.parametrize(
    ("charges", "charging"),
    [("max_output", Charging.UP_FRONT), ("real", Charging.TOTAL), ("input", Charging.INPUT)],
)
def test_what_the_configuration_says_goes_before_the_host(charges: str, charging: Charging) -> None:
    provider = Provider.model_validate(
        {"protocol": "openai", "base_url": "http://127.0.0.1:8000/v1", "charges": charges}
    )
    assert charging_of(provider) is charging


@pytest.mark.parametrize(
    ("charging", "tokens"),
    [
        (Charging.UP_FRONT, 500),
        (Charging.UNCACHED, 140),
        (Charging.INPUT, 100),
        (Charging.TOTAL, 140),
    ],
)
def test_a_call_reserves_what_its_provider_will_count(charging: Charging, tokens: int) -> None:
    assert taken(charging, ASK) == Costs(1, tokens, 100, 40, tokens)


def test_openai_counts_the_input_where_it_is_larger_than_the_bound() -> None:
    ask = Ask("p", "m", input_tokens=900, output_tokens=40, max_output_tokens=500, priority="bulk")
    assert taken(Charging.UP_FRONT, ask).tokens == 900


@pytest.mark.parametrize(
    ("charging", "difference"),
    [
        (Charging.UP_FRONT, Costs(0, 0, 0, -15, 0)),
        (Charging.UNCACHED, Costs(0, -35, -20, -15, -35)),
        (Charging.INPUT, Costs(0, 0, 0, -15, 0)),
        (Charging.TOTAL, Costs(0, -15, 0, -15, -15)),
    ],
)
def test_an_answer_corrects_what_its_provider_corrects(
    charging: Charging, difference: Costs
) -> None:
    assert correction(charging, ASK, USAGE) == difference


@pytest.mark.parametrize("charging", list(Charging))
def test_reserved_and_correction_make_the_real_costs(charging: Charging) -> None:
    total = [
        a + b for a, b in zip(taken(charging, ASK), correction(charging, ASK, USAGE), strict=True)
    ]
    assert total[0] == 1
    assert total[3] == 25
    assert min(total) >= 0


def test_negative_counts_cost_nothing() -> None:
    ask = Ask("p", "m", input_tokens=-5, output_tokens=-7, max_output_tokens=-1, priority="bulk")
    assert taken(Charging.TOTAL, ask) == Costs(1, 0, 0, 0, 0)
    assert taken(Charging.UP_FRONT, ask) == Costs(1, 0, 0, 0, 0)
