"""How fast a pool without limits becomes again after answers of 429: the script alone."""

import pytest
from fakeredis import FakeAsyncRedis

from workers.gate.scopes import Scope
from workers.gate.script import Order, Script, Spoken, Wish

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
BEGAN_S = 1_000_000.0
WISH = Wish(1, 4, 0, 0, 0, 0)


class Pool:
    """A pool that has found a rate; its answers come at once, and are good."""

    def __init__(self) -> None:
        self.now_s = BEGAN_S
        self._redis = FakeAsyncRedis(decode_responses=True)
        self._script = Script(self._redis, clock=lambda: self.now_s)

    async def finds(self, rate: float, failed_at: float) -> None:
        await self._redis.hset(
            MODEL.key,
            mapping={"at": BEGAN_S, "ar": rate, "af": failed_at, "an": BEGAN_S, "tl": BEGAN_S},
        )

    async def rate(self) -> float:
        return float(await self._redis.hget(MODEL.key, "ar") or 0)

    async def starts(self, within_s: float, *, pause_s: float = 0.0) -> None:
        """Ask for one start after the other, as soon as the gate lets."""
        ends_s = self.now_s + within_s
        while self.now_s < ends_s:
            order = Order("p", [Spoken(POOL, 0), Spoken(MODEL, 0, {"good": 1})], [WISH])
            reply = await self._script.run(order)
            start_s = reply.starts[0]
            if start_s is None:
                self.now_s += reply.refusals[0].wait_s
            else:
                self.now_s += max(start_s, 0.01) + pause_s


@pytest.mark.parametrize("rate", [0.05, 0.25, 1.4, 3.0])
async def test_a_rate_that_has_become_low_rises_again_while_it_is_used(rate: float) -> None:
    pool = Pool()
    await pool.finds(rate, failed_at=rate * 1.2)
    while await pool.rate() < 20.0:
        await pool.starts(5.0)
        assert pool.now_s < BEGAN_S + 180.0


async def test_a_rate_that_nobody_uses_stays_where_it_is() -> None:
    pool = Pool()
    await pool.finds(2.0, failed_at=2.5)
    await pool.starts(300.0, pause_s=5.0)
    assert await pool.rate() < 3.0
