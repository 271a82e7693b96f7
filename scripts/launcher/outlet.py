"""Standard output and error that hold nobody up when whoever reads them has stopped.

A service's or a container's log goes through a pipe. If its reader stands still, the pipe is full
after 64 KB, and the next line blocks its thread; logging holds a lock meanwhile, so soon every thread
stands, the heartbeat as well, and the leases run out. Here what finds no room is dropped and counted.
Files don't block, and whoever stops a terminal means it: both are left as they are.
"""

import atexit
import os
import stat
import sys
import threading
from collections import deque

ROOM_BYTES = 1 << 20
"""How much may wait for a reader."""

BLOCK_BYTES = 1 << 16
LAST_WORDS_S = 2.0
"""How long the end of a process waits for a reader of its last lines that reads nothing meanwhile."""


def unblock_output() -> None:
    """Let standard output and error of this process never block, where they could."""
    for descriptor in (1, 2):
        if _may_block(descriptor):
            atexit.register(Outlet(descriptor).close)


def _may_block(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # closed
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class Outlet:
    """Takes what is written to a descriptor, and passes it on as fast as it is read."""

    def __init__(self, descriptor: int) -> None:
        """Put a pipe of our own in the descriptor's place; a thread sees to it that it never fills."""
        self._descriptor = descriptor
        self._target = os.dup(descriptor)
        self._reading, writing = os.pipe()
        os.dup2(writing, descriptor)
        os.close(writing)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._has_gap = False
        self._dropped_lines = 0
        self._passed_bytes = 0
        self._has_ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._take, name=f"output-{descriptor}-in", daemon=True).start()
        self._passing = threading.Thread(
            target=self._pass_on, name=f"output-{descriptor}-out", daemon=True
        )
        self._passing.start()

    def close(self) -> None:
        """Pass on what waits while it is read, and put the descriptor back, else nothing in its place."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a path that is none on some systems
            os.dup2(nowhere.fileno(), self._descriptor)  # the end of our pipe
        seen_bytes = -1
        while self._passing.is_alive() and self._passed_bytes > seen_bytes:
            seen_bytes = self._passed_bytes
            self._passing.join(LAST_WORDS_S)
        if not self._passing.is_alive():
            os.dup2(self._target, self._descriptor)

    def _take(self) -> None:
        while block := os.read(self._reading, BLOCK_BYTES):
            with self._changed:
                # Once something was dropped, more is until half of it is read: a gap is told once.
                room_bytes = ROOM_BYTES // 2 if self._has_gap else ROOM_BYTES
                if self._waiting_bytes + len(block) > room_bytes:
                    self._has_gap = True  # also if it was a piece of a line, and no end of one
                    self._dropped_lines += block.count(b"\n")
                else:
                    self._tell_dropped()
                    self._put(block)
        with self._changed:
            self._tell_dropped()
            self._has_ended = True
            self._changed.notify()

    def _put(self, block: bytes) -> None:
        self._waiting.append(block)
        self._waiting_bytes += len(block)
        self._changed.notify()

    def _tell_dropped(self) -> None:
        """Say what is missing, in its place."""
        if self._has_gap:
            self._put(f"\n{self._dropped_lines} lines were dropped: nobody read them\n".encode())
            self._has_gap, self._dropped_lines = False, 0

    def _pass_on(self) -> None:
        while block := self._next():
            try:
                while block:
                    passed_bytes = os.write(self._target, block)
                    self._passed_bytes += passed_bytes
                    block = block[passed_bytes:]
            except OSError:  # nobody will ever read it
                continue

    def _next(self) -> bytes:
        """Wait for a block and return it; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._has_ended)
            if not self._waiting:
                return b""
            block = self._waiting.popleft()
            self._waiting_bytes -= len(block)
            return block
