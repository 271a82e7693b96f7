"""What a slice has heard of the money that is left, so that a thousand waiting jobs don't all ask."""

ROOM_S = 0.5
"""Between two questions whether calls in flight have left some of the budget over: every open job asks,
and a budget's last round lasts 3 s."""


class Purse:
    """Remembers the smallest call that was refused. Smaller ones may ask, of the others one at a time.

    Money itself is decided in the journal alone; this only spares it, and the gate, the asking.
    """

    def __init__(self) -> None:
        self._refused_nanos: int | None = None
        self._ask_again_at_s = 0.0

    @property
    def is_short(self) -> bool:
        """Whether a call was refused, and none was admitted since."""
        return self._refused_nanos is not None

    def may_ask(self, reserved_nanos: int, now_s: float) -> bool:
        """Whether it is worth asking for a call of this worst case now; if so, others wait for it."""
        if self._refused_nanos is None or reserved_nanos < self._refused_nanos:
            return True
        if now_s < self._ask_again_at_s:
            return False
        self._ask_again_at_s = now_s + ROOM_S
        return True

    def refused(self, reserved_nanos: int, now_s: float) -> None:
        """Note that there was no room for a call of this worst case."""
        self._refused_nanos = min(reserved_nanos, self._refused_nanos or reserved_nanos)
        self._ask_again_at_s = now_s + ROOM_S

    def admitted(self) -> None:
        """Note that there was room: everybody may ask."""
        self._refused_nanos = None
