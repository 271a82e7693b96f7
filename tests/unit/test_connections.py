"""Who of many connections has to leave, and when."""

import logging

import pytest

from api.server.connections import (
    FEW,
    MOST,
    TOLD_EVERY_S,
    Connections,
    longest_backlog,
    most_connections,
)

REQUEST_S = 15.0


class Wire:
    """A connection that notes what is asked of it."""

    def __init__(self) -> None:
        self.is_sent = True
        self.asked: list[str] = []

    def leave(self) -> None:
        """Note it."""
        self.asked.append("leave")

    def drop(self) -> None:
        """Note it."""
        self.asked.append("drop")


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def listed(clock: Clock) -> Connections:
    """Three connections at most."""
    return Connections(3, REQUEST_S, clock)


def arrived(listed: Connections, count: int) -> list[Wire]:
    wires = [Wire() for _ in range(count)]
    assert all(listed.arrive(wire) for wire in wires)
    return wires


def test_a_stranger_leaves_when_its_time_is_up_and_is_looked_at_again(
    listed: Connections, clock: Clock
) -> None:
    early, late = arrived(listed, 1)[0], Wire()
    clock.now_s += 10
    listed.arrive(late)
    clock.now_s += 4.9
    listed.tick()
    assert early.asked == []
    clock.now_s += 0.1
    listed.tick()
    assert (early.asked, late.asked) == (["leave"], [])
    clock.now_s += REQUEST_S
    listed.tick()
    assert (early.asked, late.asked) == (["leave", "leave"], ["leave"])


def test_what_has_a_key_stays_however_long_it_takes(listed: Connections, clock: Clock) -> None:
    (wire,) = arrived(listed, 1)
    listed.admit(wire)
    clock.now_s += 1e6
    listed.tick()
    assert wire.asked == []
    assert listed.is_admitted(wire)


def test_the_next_request_of_a_connection_has_as_much_time_as_the_first(
    listed: Connections, clock: Clock
) -> None:
    (wire,) = arrived(listed, 1)
    listed.admit(wire)
    listed.rest(wire)
    clock.now_s += 1e6
    listed.tick()  # how long it may be idle is the server's own matter
    listed.begin(wire)
    clock.now_s += REQUEST_S - 0.1
    listed.begin(wire)  # more of the same head: no more time
    listed.tick()
    assert wire.asked == []
    clock.now_s += 0.1
    listed.tick()
    assert wire.asked == ["leave"]


def test_a_new_connection_takes_the_place_of_the_oldest_stranger(listed: Connections) -> None:
    first, second, third = arrived(listed, 3)
    listed.admit(first)
    arrived(listed, 1)
    assert [wire.asked for wire in (first, second, third)] == [[], ["drop"], []]
    assert len(listed) == 3


def test_who_asks_nothing_leaves_after_the_strangers_and_before_the_newcomer(
    listed: Connections,
) -> None:
    busy, unread, idle = arrived(listed, 3)
    for wire in (busy, unread, idle):
        listed.admit(wire)
    assert not listed.arrive(Wire())
    listed.rest(unread)
    unread.is_sent = False
    assert not listed.arrive(Wire())
    listed.rest(idle)
    arrived(listed, 1)
    assert [wire.asked for wire in (busy, unread, idle)] == [[], [], ["drop"]]


def test_who_has_left_is_not_taken_in_again(listed: Connections) -> None:
    (wire,) = arrived(listed, 1)
    listed.depart(wire)
    for late in (listed.admit, listed.rest, listed.estrange, listed.begin, listed.depart):
        late(wire)
    assert len(listed) == 0
    assert not listed.is_admitted(wire)


def test_a_flood_is_a_line_a_minute(
    listed: Connections, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "api.server.connections")
    for _ in range(int(2 * TOLD_EVERY_S)):
        arrived(listed, 100)
        listed.tick()
        clock.now_s += 1.0
    assert len(caplog.records) == 2
    first, second = (record.getMessage() for record in caplog.records)
    assert "97 to make room" in first
    assert "6000 to make room" in second
    assert "3 of at most 3 are open" in second


def test_a_few_that_are_slow_are_nothing_to_tell(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    listed = Connections(1000, REQUEST_S, clock)
    for _ in range(100):
        wires = arrived(listed, FEW // 5)
        clock.now_s += REQUEST_S
        listed.tick()
        for wire in wires:
            listed.depart(wire)
    assert not caplog.records
    arrived(listed, FEW + 1)
    clock.now_s += REQUEST_S
    listed.tick()
    assert f"{FEW + 1} ended after 15 s" in caplog.text


@pytest.mark.parametrize(
    ("open_files", "most", "backlog"),
    [(256, 128, 64), (1024, 512, 256), (20_000, MOST, 2048), (1 << 20, MOST, 2048)],
)
def test_connections_fit_into_the_files_that_may_be_open(
    open_files: int, most: int, backlog: int
) -> None:
    assert (most_connections(open_files), longest_backlog(open_files)) == (most, backlog)
    assert most + backlog < open_files
