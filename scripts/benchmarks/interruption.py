"""Ctrl-C and SIGTERM: a measurement ends at once, or at its next step, and clears away behind itself."""

import signal


class Interruption:
    """Raises KeyboardInterrupt for both signals, and remembers that it did.

    An exception that comes while Python forks is printed and lost; so each step asks again.
    """

    def __init__(self) -> None:
        self._was_asked_for = False

    def catch(self) -> None:
        """Take the signals over, for the rest of the process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._interrupt)

    def check(self) -> None:
        """Return unless the process was asked to stop; raises KeyboardInterrupt then."""
        if self._was_asked_for:
            raise KeyboardInterrupt

    def _interrupt(self, *_: object) -> None:
        self._was_asked_for = True
        raise KeyboardInterrupt
