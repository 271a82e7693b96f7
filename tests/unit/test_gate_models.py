"""How many models of a pool the gate remembers, whatever names callers make up."""

import pytest
from fakeredis import FakeRedis

from jobs.configuration import Provider
from jobs.states import Priority
from tests.unit.test_gate_shares import MODEL, POOL
from workers.gate.desk import KEPT, REPORT_EVERY_S, Desk
from workers.gate.gate import Ask, Ending, Grant, PoolId
from workers.gate.scopes import PoolPlan, Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish
from workers.gate.waiting import Queue

BEGAN_S = 1_000_000.0
LISTED_MODELS = 128
HOUR_S = 3600.0


def call(redis: FakeRedis, model: str, now_s: float) -> None:
    scope = Scope(f"{POOL.key}:{model}", model, (model,), {})
    order = Order("p", [Spoken(POOL, 0), Spoken(scope, 0)], [Wish(1, 4, 0, 0, 0, 0)])
    script = redis.register_script(SOURCE)
    script(keys=order.keys(), args=[order.argument(), f"{now_s:.6f}"])


def listed(redis: FakeRedis) -> set[str]:
    names = (str(name) for name in redis.hkeys(POOL.key))
    return {name[2:] for name in names if name.startswith("m:")}


@pytest.fixture
def redis() -> FakeRedis:
    redis = FakeRedis(decode_responses=True)
    call(redis, MODEL.name, BEGAN_S - 10)  # a new pool grants nothing at once
    return redis


def test_made_up_models_do_not_fill_a_pool(redis: FakeRedis) -> None:
    for number in range(2 * LISTED_MODELS):
        call(redis, f"made-up-{number}", BEGAN_S + number)
    assert listed(redis) == {f"made-up-{number}" for number in range(LISTED_MODELS)}
    assert redis.ttl(f"{POOL.key}:made-up-0") > 86_400
    assert 0 < redis.ttl(f"{POOL.key}:made-up-200") <= 600


def test_the_place_of_a_model_that_is_called_no_more_is_taken(redis: FakeRedis) -> None:
    call(redis, MODEL.name, BEGAN_S)
    for number in range(LISTED_MODELS):
        call(redis, f"made-up-{number}", BEGAN_S + number)
    call(redis, MODEL.name, BEGAN_S + HOUR_S)
    call(redis, "new", BEGAN_S + HOUR_S + 2)
    assert {MODEL.name, "new"} <= listed(redis)
    assert len(listed(redis)) == LISTED_MODELS


async def test_a_process_forgets_models_that_nobody_asks_for() -> None:
    provider = Provider.model_validate(
        {
            "protocol": "openai",
            "base_url": "http://localhost:1/v1",
            "pools": [{"name": "m", "keys": ["env:K"]}],
        }
    )
    plan = PoolPlan(PoolId("p", "m"), provider, provider.pools[0])
    desk = Desk(plan, "process", probe_s=600.0)
    ask = Ask("p", "in-flight", 1, 1, 1, Priority.BULK)
    desk.depart(ask.model)
    lanes = {}
    for number in range(2 * KEPT):
        model = f"made-up-{number}"
        lanes[model] = desk.lane(Queue(model, 4))
        desk.give_back(Ask("p", model, 1, 1, 1, Priority.BULK), was_probe=False)
        desk.order([], 0.0)
    desk.order([], 0.0)
    waiting, blocked, other = (Queue(f"made-up-{number}", 4) for number in range(3))
    lanes[blocked.model].until = 2.0
    desk.forget([waiting], now=1.0)
    assert desk.lane(waiting) is lanes[waiting.model]
    assert desk.lane(blocked) is lanes[blocked.model]
    assert desk.lane(other) is not lanes[other.model]
    told = {spoken.scope.name: spoken.flights for spoken in desk.order([], REPORT_EVERY_S).scopes}
    assert told == {"": 1, "in-flight": 1}
    desk.settle(Grant(ask, desk.plan.id, 0.0), Ending(sent=False))
