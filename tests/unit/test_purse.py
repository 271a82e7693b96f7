"""Jobs that wait for money ask one at a time; whoever needs less than was refused asks at once."""

from workers.job.purse import ROOM_S, Purse


def test_until_something_was_refused_everybody_may_ask() -> None:
    purse = Purse()
    assert all(purse.may_ask(10, 0.0) for _ in range(3))


def test_after_a_refusal_one_asks_per_interval_and_smaller_calls_at_once() -> None:
    purse = Purse()
    purse.refused(10, 5.0)
    assert not purse.may_ask(10, 5.0 + ROOM_S / 2)
    assert not purse.may_ask(11, 5.0 + ROOM_S / 2)
    assert purse.may_ask(9, 5.0)
    later = 5.0 + ROOM_S
    assert [purse.may_ask(need, later) for need in (12, 10, 12)] == [True, False, False]


def test_the_smallest_refusal_counts_until_a_call_is_admitted() -> None:
    purse = Purse()
    purse.refused(4, 0.0)
    purse.refused(10, 0.0)
    assert not purse.may_ask(5, 0.0)
    assert purse.may_ask(3, 0.0)
    purse.admitted()
    assert purse.may_ask(50, 0.0)
