"""The gate while its Redis's clock is set by an hour: nobody waits for it, and the limit is kept."""

from dataclasses import dataclass, field

import pytest
from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Reply, Spoken, Wish, read_reply

RPS = 10
POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"rps": RPS})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
WISH = Wish(1, 3, 30, 10, 20, 30)
HOUR_S = 3600.0
BOOKED_S = 0.65
"""How far ahead starts are given out: by a clock that is set forward, they seem to be long past."""


@dataclass
class Rounds:
    """Rounds over a pool. `true_s` is the time that goes on whatever the server's clock says."""

    script: object = field(default_factory=lambda: FakeRedis().register_script(SOURCE))
    true_s: float = 1_000_000.0
    set_by_s: float = 0.0
    starts_s: list[float] = field(default_factory=list)

    def run_for(self, seconds: float) -> list[float]:
        """Ask for more than there is, every tenth of a second; return the true times of all starts."""
        ends, before = self.true_s + seconds, len(self.starts_s)
        while self.true_s < ends:
            reply = self._round()
            granted = (start for start in reply.starts if start is not None)
            self.starts_s += [self.true_s + start for start in granted]
            self.true_s += 0.1
        return self.starts_s[before:]

    def _round(self) -> Reply:
        order = Order("one", [Spoken(POOL, 0), Spoken(MODEL, 0)], [WISH] * 3)
        now = f"{self.true_s + self.set_by_s:.6f}"
        return read_reply(self.script(keys=order.keys(), args=[order.argument(), now]))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("by_s", "forgotten_s"),
    [(HOUR_S, BOOKED_S), (3.0, BOOKED_S), (-HOUR_S, 0.0), (-3.0, 0.0)],
)
def test_a_clock_that_is_set_holds_nobody_up_and_keeps_the_limit(
    by_s: float, forgotten_s: float
) -> None:
    rounds = Rounds()
    assert len(rounds.run_for(5.0)) > 4 * RPS
    rounds.set_by_s = by_s
    assert len(rounds.run_for(10.0)) > 9 * RPS - 1
    starts_s = sorted(rounds.starts_s)
    most = max(sum(1 for other in starts_s if at <= other < at + 1.0) for at in starts_s)
    assert most <= RPS * (1.0 + forgotten_s) + 1
