"""How late a process's event loop is: what a blocked loop, or a machine that is too small, shows first."""

import asyncio

from prometheus_client import Histogram

LOOK_EVERY_S = 0.5

BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


def lag_histogram() -> Histogram:
    """Return the figure, not registered yet."""
    return Histogram(
        "tidemill_loop_lag_seconds",
        "How much later than asked for the event loop woke a sleeper.",
        registry=None,
        buckets=BOUNDS_S,
    )


async def watch_loop(lag: Histogram) -> None:
    """Look until cancelled, twice a second."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        lag.observe(max(0.0, loop.time() - due_s))
