"""Traces from submission to settlement: what is told of calls, and by which names.

A batch is a trace: whoever knows its name knows the trace's, so nothing needs to travel with messages
and rows. Its root is the submission; each of a share of its jobs adds its calls and their settlements.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from jobs.exchange import Usage


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A call as it ended: of which job, to whom, and what came of it. It never holds what was said."""

    seq: int
    n: int
    provider: str
    pool: str
    model: str
    outcome: str
    error_code: str | None
    finish_reason: str | None
    usage: Usage | None
    latency_ms: int | None


class Tracing(Protocol):
    """Where a process's spans go. Used from any thread; nothing it does fails or waits, but `close`."""

    def submitted(self, batch_ref: str, began_ns: int) -> None:
        """Tell of a submission that was accepted, and when its request began (Unix nanoseconds)."""

    def settled(self, batch_ref: str, call: TracedCall, answered_ns: int) -> None:
        """Tell of a call whose end was committed just now, and when it was answered."""

    def close(self) -> None:
        """Send what is left, for some seconds at most."""


def is_chosen(batch_ref: str, seq: int, share: float) -> bool:
    """Choose a share, 0 to 1, of a batch's jobs by their names: all calls of a job are told of, or none."""
    digest = hashlib.sha256(f"{batch_ref}/{seq}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < share * 2**32


def ids_of(batch_ref: str) -> tuple[int, int]:
    """Return the ids of a batch's trace and of its root: the beginning of the SHA-256 of its name."""
    digest = hashlib.sha256(batch_ref.encode()).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
