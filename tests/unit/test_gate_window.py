"""How many calls a scope without limits has in flight, by what their latency tells: the script alone."""

from collections.abc import Callable

from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
BEGAN_S = 1_000_000.0
ROUND_S = 0.1
TOKENS = 50
Latency = Callable[[float], float]


class Provider:
    """A server whose answers take `latency_s` of how many calls it has at once; asked without end."""

    def __init__(self) -> None:
        self.redis = FakeRedis(decode_responses=True)
        self._script = self.redis.register_script(SOURCE)
        self._now_s = BEGAN_S
        self._done = 0.0

    @property
    def window(self) -> float:
        return float(self.redis.hget(MODEL.key, "cw") or 8)

    def run(self, seconds: float, latency_s: Latency) -> list[float]:
        """Keep the window full; return how wide it was at the end of each round."""
        widths = []
        for _ in range(round(seconds / ROUND_S)):
            self._now_s += ROUND_S
            flights = int(self.window)
            took_s = latency_s(flights)
            self._done += flights * ROUND_S / took_s
            good, self._done = int(self._done), self._done % 1
            told = {"good": good, "latency": [took_s / TOKENS, took_s]} if good else None
            order = Order("p", [Spoken(POOL, flights), Spoken(MODEL, flights, told)], [WISH])
            self._script(keys=order.keys(), args=[order.argument(), f"{self._now_s:.6f}"])
            widths.append(self.window)
        return widths


WISH = Wish(1, 4, 0, 0, 0, 0)


def test_a_server_that_has_become_slower_keeps_its_calls() -> None:
    provider = Provider()
    assert provider.run(10.0, lambda _flights: 0.1)[-1] > 500
    widths = provider.run(120.0, lambda _flights: 2.0)
    assert widths[-1] > 500
    assert min(widths) > 100


def test_calls_that_wait_for_each_other_are_so_few_that_they_hardly_do() -> None:
    places = 50

    def queueing(flights: float) -> float:
        return 0.5 * max(1.0, flights / places)

    provider = Provider()
    provider.run(60.0, queueing)
    widths = provider.run(240.0, queueing)
    assert max(widths) < 3 * places
    assert min(widths) > 0.8 * places
