"""Whose the one probe of a pool in trouble is, by the script alone, on a clock of the test's."""

from typing import Any

import pytest
from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Reply, Spoken, Wish, read_reply

POOL = Scope("tidemill:gate:{p/m}", "", ("*",), {"rpm": 6_000})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
WISH = Wish(1, 3, 30, 10, 20, 30)
BEGIN_S = 1_000_000.0
PROBE_S = 600.0
SILENT_S = 10.0
"""After which the script takes a process for gone."""

TRIP = {"trip": {"wait": 1.0, "most": 1.0, "reason": "busy", "hinted": False, "n": 1}}


class Rounds:
    """Rounds of several processes over one pool, at times of the test's choice."""

    def __init__(self) -> None:
        self._script = FakeRedis().register_script(SOURCE)

    def at(
        self,
        second: float,
        process: str,
        *,
        flights: int = 0,
        told: dict[str, Any] | None = None,
        wishes: int = 1,
    ) -> Reply:
        scopes = [Spoken(POOL, flights, told), Spoken(MODEL, flights)]
        order = Order(process, scopes, [WISH] * wishes, probe_s=PROBE_S)
        now = f"{BEGIN_S + second:.6f}"
        return read_reply(self._script(keys=order.keys(), args=[order.argument(), now]))


@pytest.fixture
def rounds() -> Rounds:
    """A pool that was tripped at second 10 and may be probed from second 11 on."""
    rounds = Rounds()
    rounds.at(0, "one", wishes=0)
    rounds.at(10, "one", told=TRIP, wishes=0)
    return rounds


def is_probe(reply: Reply) -> bool:
    return reply.probes == {0}


def test_one_probe_is_out_at_a_time_while_its_process_is_heard_of(rounds: Rounds) -> None:
    assert is_probe(rounds.at(12, "one", wishes=3))
    for second in range(13, 100):
        assert not rounds.at(second, "two").probes
        assert not rounds.at(second + 0.5, "one", flights=1).probes


def test_the_probe_of_a_process_that_is_gone_is_given_to_another(rounds: Rounds) -> None:
    assert is_probe(rounds.at(12, "one"))
    assert not rounds.at(12 + SILENT_S - 1, "two").probes
    assert is_probe(rounds.at(12 + SILENT_S + 1.5, "two"))


def test_a_process_that_never_heard_of_its_probe_gets_another(rounds: Rounds) -> None:
    assert is_probe(rounds.at(12, "one"))
    assert not rounds.at(13, "one").probes  # no sooner than 5 s after the last
    assert is_probe(rounds.at(18, "one"))


def test_a_probe_that_was_cut_off_says_nothing_and_the_next_one_leaves(rounds: Rounds) -> None:
    assert is_probe(rounds.at(12, "one"))
    assert is_probe(rounds.at(13, "two", told={"probe": "void"}))
