"""Waiting for a condition with a deadline: what tests do instead of sleeping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY_S = 0.02

PATIENCE_S = 30.0
"""What comes true costs none of it; a machine with much else to do needs it."""


def eventually(condition: Callable[[], T], within_s: float = PATIENCE_S, what: str = "") -> T:
    """Return the first truthy value of `condition`, which is asked again until `within_s` is over.

    Raises:
        AssertionError: it never came true; the message says what was expected and what was seen last.
    """
    deadline = time.monotonic() + within_s
    while not (seen := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_message(condition, within_s, what, seen))
        time.sleep(LOOK_EVERY_S)
    return seen


async def eventually_async(
    condition: Callable[[], Awaitable[T]], within_s: float = PATIENCE_S, what: str = ""
) -> T:
    """Do as `eventually`, without holding up the event loop.

    Raises:
        AssertionError: it never came true; the message says what was expected and what was seen last.
    """
    deadline = time.monotonic() + within_s
    while not (seen := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_message(condition, within_s, what, seen))
        await asyncio.sleep(LOOK_EVERY_S)
    return seen


def _message(condition: object, within_s: float, what: str, seen: object) -> str:
    expected = what or getattr(condition, "__qualname__", repr(condition))
    return f"not within {within_s:g} s: {expected} (last seen: {seen!r})"
