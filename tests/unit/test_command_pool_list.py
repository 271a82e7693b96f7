"""The table of pools: what is nearest to its limit."""

from io import StringIO

from rich.console import Console

from api.description.examples import EXAMPLES
from scripts.command.client import JsonObject
from scripts.command.pool_list import PoolTable, enqueued

RPM = {"name": "rpm", "configured": 60, "learned": 50, "rate": 25.0, "share_used": 0.5}


def shown(width: int = 120, **said: object) -> str:
    pool: JsonObject = {
        "provider": "sim",
        "pool": "main",
        "models": None,
        "dimensions": [
            {"name": "rpm", "configured": 60, "learned": 50, "rate": 25.0, "share_used": 0.5}
        ],
        "in_flight": 3,
        "in_flight_limit": None,
        "binding": "rpm",
        "breaker": "closed",
        "reason": None,
        "blocked_until": None,
    }
    console = Console(file=StringIO(), width=width)
    console.print(PoolTable([{**pool, **said}]))
    assert isinstance(console.file, StringIO)
    return " ".join(console.file.getvalue().split())


def test_the_dimension_that_binds_is_shown_with_the_smaller_limit() -> None:
    assert shown().endswith("sim/main 25 50 rpm ━━━━ 50.0% 3 open")


def test_calls_in_flight_may_be_what_binds() -> None:
    full = shown(binding="concurrency", in_flight_limit=4)
    assert full.endswith("sim/main 4 concurrency ━━━━━━ 75.0% 3 open")


def test_a_pool_without_limits_says_so() -> None:
    assert shown(binding=None, dimensions=[]).endswith("sim/main none known 3 open")


def test_what_native_batches_have_at_a_pool_is_told() -> None:
    pools = EXAMPLES["GET /api/pools"].answers["200"]["data"]
    assert list(enqueued(pools)) == [
        "openai/main has 60,000 lines of gpt-4o-mini in native batches (2): 3,100,000 of 20,000,000 input "
        "tokens are enqueued"
    ]


def test_a_narrow_terminal_shows_what_matters_most_and_cuts_nothing() -> None:
    assert shown(80).startswith("pool pace of limit used in flight state")
    assert shown(60).startswith("pool of limit used in flight state")
    assert shown(40, provider="anthropic").endswith("anthropic/main 50.0% open")
    assert "…" not in shown(40, provider="anthropic")
    assert "limit" not in shown(40)
    assert "…" not in shown(60, binding="concurrency", in_flight_limit=400)
