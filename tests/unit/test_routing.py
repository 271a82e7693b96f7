"""Which targets serve a model's name, and in which order a job tries them."""

from collections import Counter

import pytest

from jobs.configuration import FAILOVER_AFTER_S, Configuration
from jobs.errors import UnknownModel
from jobs.routing import KNOWN_NAMES, Catalogue, Resolved, Target

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
            "even": {
                "targets": ["mirror/o3", "openai/o3"],
                "weights": [1, 1],
                "failover_after_s": 2.5,
            },
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


def test_without_weights_every_job_tries_the_targets_as_the_file_lists_them() -> None:
    resolved = Catalogue(CONFIGURATION).resolve("cheap")
    for seq in range(10):
        assert resolved.order(1, seq) == resolved.targets
        assert resolved.queue(1, seq) == "openai"
    assert resolved.failover_after_s == FAILOVER_AFTER_S


def test_a_route_brings_its_weights_and_its_patience() -> None:
    even = Catalogue(CONFIGURATION).resolve("even")
    assert (even.weights, even.failover_after_s) == ((1, 1), 2.5)


@pytest.mark.parametrize("weights", [(3, 1), (1, 1), (1, 99), (5, 3, 2)])
@pytest.mark.parametrize("batch_id", [1, 2, 77_777, 2**40])
def test_first_targets_are_shared_out_by_weight_within_a_slice_already(
    weights: tuple[int, ...], batch_id: int
) -> None:
    resolved = weighted(*weights)
    for jobs, off_by in ((100, 4), (10_000, 10)):
        firsts = Counter(resolved.order(batch_id, seq)[0] for seq in range(jobs))
        for target, weight in zip(resolved.targets, weights, strict=True):
            assert abs(firsts[target] - jobs * weight / sum(weights)) <= off_by


def test_a_job_always_tries_the_same_order_and_queues_where_it_begins() -> None:
    resolved = weighted(5, 3, 2)
    a, b, c = resolved.targets
    orders = [resolved.order(9, seq) for seq in range(100)]
    assert orders == [resolved.order(9, seq) for seq in range(100)]
    assert set(orders) == {(a, b, c), (b, a, c), (c, a, b)}
    assert [order[0].provider for order in orders] == [resolved.queue(9, seq) for seq in range(100)]


def weighted(*weights: int) -> Resolved:
    targets = tuple(Target(f"provider-{n}", "model") for n in range(len(weights)))
    return Resolved(targets, weights)


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
