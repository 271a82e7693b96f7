"""Until when calls of a process that was killed hold places that others need: the script alone."""

from fakeredis import FakeRedis

from jobs.store.leases.slices import LEASE
from workers.gate.desk import REPORT_EVERY_S
from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish, read_reply

PLACES = 20
POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"concurrency": PLACES})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
WISH = Wish(1, 3, 0, 0, 0, 0)
BEGIN_S = 1_000_000.0


class Rounds:
    """Rounds of several processes over one pool."""

    def __init__(self) -> None:
        self._script = FakeRedis().register_script(SOURCE)

    def granted(self, second: float, process: str, *, flights: int = 0, wishes: int = 0) -> int:
        """Return how many of so many calls may leave; `flights` of this process have left already."""
        order = Order(process, [Spoken(POOL, flights), Spoken(MODEL, flights)], [WISH] * wishes)
        now = f"{BEGIN_S + second:.6f}"
        reply = read_reply(self._script(keys=order.keys(), args=[order.argument(), now]))
        return sum(start is not None for start in reply.starts)


def test_places_of_a_killed_process_are_free_before_its_slices_are_taken_over() -> None:
    rounds = Rounds()
    rounds.granted(0.0, "killed")
    assert rounds.granted(5.0, "killed", wishes=PLACES) == PLACES
    assert rounds.granted(6.0, "living", wishes=1) == 0
    assert rounds.granted(5.0 + LEASE.total_seconds(), "living", wishes=PLACES) == PLACES


def test_places_of_a_process_that_misses_some_reports_stay_its_own() -> None:
    rounds = Rounds()
    rounds.granted(0.0, "slow")
    assert rounds.granted(5.0, "slow", wishes=PLACES) == PLACES
    assert rounds.granted(5.0 + 4 * REPORT_EVERY_S, "other", wishes=1) == 0
