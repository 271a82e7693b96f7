"""The server's clock in terms of the event loop's."""

DRIFT = 0.0001
"""Seconds per second that two clocks may part; ten times what a bad crystal does."""


class LoopClock:
    """Converts the times of a Redis into the loop's, never too early.

    A reply says what the server's clock was at some moment between sending and receiving. So the
    loop's time is at most the server's plus the smallest `received - said` that was seen lately.
    """

    def __init__(self) -> None:
        self._lag_s: float | None = None  # added to the server's time
        self._seen_at = 0.0

    def hear(self, said: float, sent_at: float, received_at: float) -> None:
        """Take a reply into account: the server's clock and the loop's around it."""
        latest, earliest = received_at - said, sent_at - said
        lag_s = self._lag_s
        if lag_s is not None:
            lag_s += (received_at - self._seen_at) * DRIFT
            if lag_s < earliest:  # it can't be: the server's clock was set back, or is another one
                lag_s = None
        self._lag_s = latest if lag_s is None else min(latest, lag_s)
        self._seen_at = received_at

    def loop_time(self, said: float) -> float:
        """Return the loop's time at which the server's clock certainly shows `said`."""
        assert self._lag_s is not None, "nothing has been heard yet"
        return said + self._lag_s
