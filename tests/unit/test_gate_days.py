"""The count of the day, after a Redis that lost it: by the script alone, on a clock of the test's."""

from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Reply, Spoken, Wish, read_reply

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"rpd": 10})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
BEGIN_S = 1_000_000.0


class Lane:
    """A process that asks for one call at a time."""

    def __init__(self) -> None:
        self._script = FakeRedis().register_script(SOURCE)

    def ask(self, at_s: float, seed: dict[str, float] | None = None) -> Reply:
        told = {"seed": seed} if seed else {}
        order = Order("p", [Spoken(POOL, 0, told), Spoken(MODEL, 0)], [Wish(1, 3, 10, 5, 5, 10)])
        now = f"{BEGIN_S + at_s:.6f}"
        return read_reply(self._script(keys=order.keys(), args=[order.argument(), now]))


def test_the_count_is_read_only_once_what_was_granted_before_is_journaled() -> None:
    lane = Lane()
    for at_s in (0.0, 1.0, 2.4):
        reply = lane.ask(at_s)
        assert (reply.starts, reply.unseeded) == ([None], ())
        assert [refusal.code for refusal in reply.refusals] == ["settling"]
    assert lane.ask(2.6).unseeded == (0,)
    day_ends = BEGIN_S + 3_600.0
    reply = lane.ask(2.7, {"rpd": 9, "tpd": 0, "end": day_ends})
    assert reply.starts != [None]
    refused = lane.ask(5.0)
    assert [refusal.code for refusal in refused.refusals] == ["day"]
