import pytest

from jobs.configuration import Configuration
from jobs.errors import UnknownModel
from jobs.routing import KNOWN_NAMES, Catalogue, Target

CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "openai": {
                "protocol": "openai",
                "base_url": "https://api.openai.com/v1",
                "models": ["gpt-*", "o3"],
            },
            "mirror": {
                "protocol": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "models": ["gpt-4o*", "llama/*"],
            },
            "mistral": {"protocol": "mistral", "base_url": "https://api.mistral.ai/v1"},
        },
        "routes": {
            "cheap": {"targets": ["openai/gpt-4o-mini", "mistral/mistral-small-latest"]},
            "o3": {"targets": ["mirror/o3"]},
        },
    }
)

RESOLVED = {
    "cheap": (Target("openai", "gpt-4o-mini"), Target("mistral", "mistral-small-latest")),
    "gpt-4o": (Target("openai", "gpt-4o"),),
    "mirror/gpt-4o": (Target("mirror", "gpt-4o"),),
    "mistral/anything": (Target("mistral", "anything"),),
    "mirror/org/model": (Target("mirror", "org/model"),),
    "llama/large": (Target("mirror", "llama/large"),),
    "o3": (Target("mirror", "o3"),),
    "openai/o3": (Target("openai", "o3"),),
}


@pytest.mark.parametrize("model", RESOLVED)
def test_a_name_is_a_route_then_a_provider_and_name_then_a_pattern_in_file_order(
    model: str,
) -> None:
    assert Catalogue(CONFIGURATION).resolve(model).targets == RESOLVED[model]


def test_a_job_queues_at_its_first_target() -> None:
    assert Catalogue(CONFIGURATION).resolve("cheap").queue == "openai"


@pytest.mark.parametrize(
    "model", ["", "mistral-small", "mistral/", "GPT-4o", "org/model", "a" * 9999]
)
def test_what_nothing_serves_is_unknown(model: str) -> None:
    with pytest.raises(UnknownModel) as raised:
        Catalogue(CONFIGURATION).resolve(model)
    assert raised.value.model == model
    assert raised.value.code == "unknown_model"
    assert len(raised.value.message) < 400


def test_an_unknown_model_comes_with_the_closest_known_names() -> None:
    with pytest.raises(UnknownModel) as raised:
        Catalogue(CONFIGURATION).resolve("mistral-small-lates")
    assert raised.value.closest == ("mistral/mistral-small-latest",)
    assert "did you mean mistral/mistral-small-latest?" in raised.value.message


def test_at_most_three_names_are_offered() -> None:
    with pytest.raises(UnknownModel) as raised:
        Catalogue(CONFIGURATION).resolve("pt-4o-mini")
    assert "gpt-4o-mini" in raised.value.closest
    assert len(raised.value.closest) <= 3


def test_a_million_invented_names_take_no_more_memory_than_a_thousand() -> None:
    catalogue = Catalogue(CONFIGURATION)
    for number in range(3 * KNOWN_NAMES):
        catalogue.resolve(f"gpt-{number}")
    assert catalogue._resolutions.cache_info().currsize == KNOWN_NAMES
