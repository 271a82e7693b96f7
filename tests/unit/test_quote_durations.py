"""How long a submission takes at its pools' limits, computed by hand."""

from dataclasses import replace
from typing import Any

import pytest

from jobs.configuration import Configuration
from jobs.pools import DimensionState, PoolState
from jobs.quote import Duration, Tally, duration, known_states
from jobs.quote.tally import Range
from jobs.routing import Target


def configured(**pools: list[dict[str, Any]]) -> Configuration:
    return Configuration.model_validate(
        {
            "providers": {
                name: {"protocol": "openai", "base_url": "http://sim", "pools": given}
                for name, given in pools.items()
            }
        }
    )


def tally(provider: str = "sim", model: str = "small") -> Tally:
    """A thousand calls of 100 to 200 tokens in and 1 to 50 out."""
    return Tally(
        model,
        Target(provider, model),
        jobs=1000,
        calls=1000,
        input_tokens=Range(100_000, 200_000),
        output_tokens=Range(1_000, 50_000),
        counted_tokens=Range(101_000, 250_000),
    )


def state(**changes: Any) -> PoolState:
    idle = PoolState("sim", "main", None, (), 0, None, None, "closed", None, None, 1.0, None, None)
    return replace(idle, **changes)


def assert_takes(found: Duration, low_s: float, high_s: float, limited_by: str) -> None:
    assert (found.low_s, found.high_s) == pytest.approx((low_s, high_s))
    assert (found.limited_by, found.unknown_because) == (limited_by, None)


@pytest.mark.parametrize(
    ("limits", "low_s", "high_s", "limited_by"),
    [
        ({"rpm": 500}, 120, 120, "rpm of sim/main (500)"),
        ({"rps": 10}, 100, 100, "rps of sim/main (10)"),
        ({"rph": 500}, 7200, 7200, "rph of sim/main (500)"),
        ({"tpm": 1000}, 60 * 101, 60 * 250, "tpm of sim/main (1,000)"),
        ({"itpm": 1000}, 60 * 100, 60 * 200, "itpm of sim/main (1,000)"),
        ({"otpm": 1000}, 60 * 1, 60 * 50, "otpm of sim/main (1,000)"),
        ({"rpm": 500, "otpm": 1000}, 120, 3000, "otpm of sim/main (1,000)"),
        ({"rpm": 500, "rpd": 500}, 172_800, 172_800, "rpd of sim/main (500)"),
        # What is left of a day is there at once.
        ({"rpm": 500, "rpd": 1000}, 120, 120, "rpm of sim/main (500)"),
        ({"rpm": 500, "tpd": 125_000}, 120, 172_800, "tpd of sim/main (125,000)"),
    ],
)
def test_the_tightest_limit_decides(
    limits: dict[str, int], low_s: float, high_s: float, limited_by: str
) -> None:
    found = duration([tally()], configured(sim=[{"limits": limits}]), {})
    assert_takes(found, low_s, high_s, limited_by)


def test_pools_share_the_work_of_their_provider() -> None:
    pools = [{"name": "a", "limits": {"rpm": 500}}, {"name": "b", "limits": {"rpm": 1500}}]
    found = duration([tally()], configured(sim=pools), {})
    assert_takes(found, 30, 30, "rpm of sim/b (1,500)")


def test_providers_work_side_by_side() -> None:
    both = configured(sim=[{"limits": {"rpm": 500}}], far=[{"limits": {"rpm": 100}}])
    found = duration([tally(), tally("far")], both, {})
    assert_takes(found, 600, 600, "rpm of far/main (100)")


def test_models_with_a_limit_of_their_own_may_be_what_decides() -> None:
    pool = {
        "limits": {"rpm": 1000},
        "model_limits": [{"models": ["large*"], "limits": {"rpm": 100}}],
    }
    found = duration([tally(), tally(model="large-1")], configured(sim=[pool]), {})
    assert_takes(found, 600, 600, "rpm of sim/main/large* (100)")


def test_what_the_gate_has_learned_counts_where_it_is_less() -> None:
    learned = DimensionState("rpm", 500, 250, 0.0, None)
    known = known_states([state(dimensions=(learned,))])
    found = duration([tally()], configured(sim=[{"limits": {"rpm": 500}}]), known)
    assert_takes(found, 240, 240, "rpm of sim/main (250)")


def test_a_pool_without_limits_goes_at_the_pace_that_was_found() -> None:
    known = known_states([state(found_per_s=20.0)])
    found = duration([tally()], configured(sim=[{}]), known)
    assert_takes(found, 50, 50, "the pace that was found for sim/main (20.0 calls a second)")


@pytest.mark.parametrize("limits", [{}, {"concurrency": 50}, {"rpd": 10_000}])
def test_without_a_limit_that_tells_one_the_time_is_unknown(limits: dict[str, int]) -> None:
    found = duration([tally()], configured(sim=[{"limits": limits}]), {})
    assert (found.low_s, found.high_s, found.limited_by) == (None, None, None)
    assert found.unknown_because == (
        "no limit of sim/main tells how many calls it takes in a minute"
    )


def test_no_calls_take_no_time() -> None:
    assert duration([], configured(sim=[{}]), {}) == Duration(0.0, 0.0)
