"""How the priorities share a pool: by the script alone, on a clock of the test's."""

import random
from dataclasses import dataclass, field

import pytest
from fakeredis import FakeRedis

from workers.gate.asker import LATENESS_S
from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish, read_reply

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"rpm": 12_000})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
RATE_S = 200 * 0.998
BATCH = 40


@dataclass
class Demand:
    """A process whose calls of one priority never run out, and that comes back when it is told."""

    rank: int
    name: str
    ready_at: float = 0.0
    starts: list[float] = field(default_factory=list)


def run(demands: list[Demand], seconds: float) -> None:
    script = FakeRedis().register_script(SOURCE)
    now = began = 1_000_000.0
    lateness = random.Random(1)  # noqa: S311 - as the askers are, so that all get their turn
    while now < began + seconds:
        demand = min(demands, key=lambda demand: demand.ready_at)
        now = max(now, demand.ready_at) + 0.001
        order = Order(
            demand.name,
            [Spoken(POOL, 0), Spoken(MODEL, 0)],
            [Wish(1, demand.rank, 0, 0, 0, 0)] * BATCH,
        )
        reply = read_reply(script(keys=order.keys(), args=[order.argument(), f"{now:.6f}"]))
        demand.starts += [now + start for start in reply.starts if start is not None]
        wait_s = reply.refusals[0].wait_s if reply.refusals else 0.0
        demand.ready_at = now + wait_s + lateness.uniform(0.0, LATENESS_S)


def share(demand: Demand, seconds: float) -> float:
    began = 1_000_002.0  # the first bucket is empty
    count = sum(began <= start < 1_000_000.0 + seconds for start in demand.starts)
    return count / (seconds - 2.0) / RATE_S


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_a_priority_alone_gets_everything(rank: int) -> None:
    alone = Demand(rank, "p")
    run([alone], 20.0)
    assert share(alone, 20.0) == pytest.approx(1.0, abs=0.005)


def test_all_four_get_their_least_and_the_first_what_is_left() -> None:
    demands = [Demand(rank, f"p{rank}") for rank in (4, 3, 2, 1)]
    run(demands, 40.0)
    bulk, normal, high, interactive = (share(demand, 40.0) for demand in demands)
    assert bulk >= 0.05
    assert normal >= 0.10
    assert high >= 0.18
    assert interactive >= 0.5
    assert bulk + normal + high + interactive == pytest.approx(1.0, abs=0.005)


def test_two_processes_of_a_priority_share_it() -> None:
    demands = [Demand(4, "a"), Demand(4, "b")]
    run(demands, 20.0)
    assert min(share(demand, 20.0) for demand in demands) > 0.2


def test_who_had_everything_at_night_has_its_least_by_day() -> None:
    bulk, interactive = Demand(4, "b"), Demand(1, "i", ready_at=1_000_010.0)
    run([bulk, interactive], 40.0)
    late = [start for start in bulk.starts if start > 1_000_020.0]
    assert len(late) / 20.0 / RATE_S >= 0.05
