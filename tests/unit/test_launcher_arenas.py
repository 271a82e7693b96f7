"""Threads of a part share heaps."""

import os
import platform
import subprocess
import sys

import pytest

from scripts.launcher.arenas import ARENAS

ALLOCATING_IN_THREADS = """
import ctypes, sys, threading
from scripts.launcher.arenas import share_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if "share" in sys.argv:
    assert share_freed_memory()
at_once = threading.Barrier(8)

def allocate():
    at_once.wait()
    libc.malloc(1000)  # without the interpreter's lock, so that they meet
    at_once.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


def arenas(*arguments: str) -> int:
    """Return how many heaps glibc tells of after eight threads have allocated."""
    environment = {name: os.environ[name] for name in os.environ if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run(  # noqa: S603 - this Python, and the text above
        (sys.executable, "-c", ALLOCATING_IN_THREADS, *arguments),
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stderr
    return told.count("Arena ")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep one heap")
def test_threads_share_heaps_once_told_to() -> None:
    assert arenas() > ARENAS
    assert arenas("share") <= ARENAS
