"""Memory that threads free: found again by the next one, instead of being kept for each of them."""

import ctypes
import os

ARENAS = 2
"""glibc keeps eight times the cores. Only who holds the interpreter's lock allocates, so more save no wait,
and in an upload of 200,000 lines they took the API 11 MiB more (`tests.e2e.upload_kills`)."""

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""


def share_freed_memory() -> bool:
    """Let all threads of this process allocate from `ARENAS` heaps; False where the C library has one.

    An operator's own MALLOC_ARENA_MAX stays.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, ARENAS) == 1
