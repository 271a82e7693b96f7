"""What providers refuse a whole pool for, in the worker's log: once at each change, not per call."""

import logging
import time
from collections.abc import Callable

from jobs.errors import ConnectFailed, Overloaded, ProviderError, ProviderUnusable, RateLimited
from workers.gate.gate import PoolId

log = logging.getLogger(__name__)

REPEAT_S = 60.0
"""After so long the same complaint is logged again: it is still so."""

MESSAGE_CHARACTERS = 200


class Complaints:
    """One process's log of them. `clock` is steady and in seconds.

    A refused key, an exhausted quota, an overloaded or unreachable provider are told: whatever holds
    up a pool and is no matter of pace. The provider's message comes without the key (see
    `workers.calls.calls.without_key`).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at: dict[tuple[PoolId, str], float] = {}

    def note(self, pool: PoolId, error: ProviderError | None) -> None:
        """Log the error of a call if it holds up its pool and was not logged in the last minute."""
        if not isinstance(error, ProviderUnusable | Overloaded | ConnectFailed):
            return
        self._tell(pool, error.code, error.message)

    def note_pause(self, pool: PoolId, why: str) -> None:
        """Log that a pool is paused, or tried with one call, for `why`: the code and the message.

        Also where no single error tells of it: calls that fail one after the other, or a pause that
        another process began.
        """
        code, _, message = why.partition(": ")
        if code != RateLimited.code:
            self._tell(pool, code, message)

    def _tell(self, pool: PoolId, code: str, message: str) -> None:
        now, subject = self._clock(), (pool, code)
        told_at = self._told_at.get(subject)
        if told_at is not None and now < told_at + REPEAT_S:
            return
        self._told_at[subject] = now
        log.warning("pool %s/%s is held up by %s: %s", *pool, code, message[:MESSAGE_CHARACTERS])
