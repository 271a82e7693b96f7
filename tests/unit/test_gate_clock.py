"""The server's times on the loop's clock: never too early, however replies are delayed."""

from hypothesis import given
from hypothesis import strategies as st

from workers.gate.loop_clock import LoopClock

OFFSET_S = 1_000.0
delays = st.floats(min_value=0.0, max_value=2.0)


@given(st.lists(st.tuples(delays, delays), min_size=1, max_size=20))
def test_a_start_is_never_before_the_servers_time(replies: list[tuple[float, float]]) -> None:
    clock, now = LoopClock(), 5.0
    for way_there_s, way_back_s in replies:
        said = now + way_there_s + OFFSET_S
        received_at = now + way_there_s + way_back_s
        clock.hear(said, now, received_at)
        assert clock.loop_time(said + 1.0) >= said + 1.0 - OFFSET_S - 1e-9
        now = received_at


def test_the_quickest_reply_counts() -> None:
    clock = LoopClock()
    clock.hear(1_000.0, 0.0, 0.001)
    clock.hear(1_001.0, 1.0, 1.5)
    assert 2.0 <= clock.loop_time(1_002.0) < 2.002


def test_a_clock_that_was_set_back_is_believed_at_once() -> None:
    clock = LoopClock()
    clock.hear(1_000.0, 0.0, 0.001)
    clock.hear(901.0, 1.0, 1.001)
    assert 2.0 <= clock.loop_time(902.0) < 2.002
