"""Single keys of whoever is at the terminal, without Enter."""

import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def keystrokes() -> Iterator[Callable[[float], str]]:
    """Enter what waits up to so many seconds for a key, and returns it; empty if none came.

    Ctrl-C stays what it is. Without a terminal on stdin it only waits.
    """
    if not sys.stdin.isatty():
        yield _only_wait
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)
    try:
        yield _key_within
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _only_wait(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _key_within(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1) if ready else ""
