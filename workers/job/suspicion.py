"""Which jobs are taken to kill their workers: an answer that eats the memory, a crash in a library.

A worker dies with all the calls that it has in flight, and most of their jobs have nothing to do with
it. Nor do workers die of jobs only: machines are switched off, and whole fleets restarted. So a job
comes under suspicion when it has lost two workers and they hardly die without it. Then it runs
alone, as far as suspects go (`Quarantine`), which leaves one to blame when the worker dies again.
"""

import asyncio
from collections.abc import Hashable

from jobs.store.batches.jobs import OpenJob

SUSPECT_AFTER = 2
POISON_AFTER = 3
"""Workers that a job may lose."""

ALONE_S = 10.0
"""How long a suspect has its process to itself: longer calls overlap, or a thousand suspects, which
a machine that lost its power twice leaves, would take all night."""


def is_suspect(job: OpenJob) -> bool:
    """Return whether a job may be what its workers died of."""
    return job.lost_workers >= SUSPECT_AFTER and _die_of_it(job)


def is_poison(job: OpenJob) -> bool:
    """Return whether a job must not be run again, because its workers die of it."""
    return job.lost_workers >= POISON_AFTER and _die_of_it(job)


def _die_of_it(job: OpenJob) -> bool:
    """Return whether the workers that died since the first one did so mostly while they ran the job."""
    return 2 * job.lost_workers > job.deaths_since


class Quarantine:
    """Lets the suspects of one process go one by one; used on one event loop."""

    def __init__(self, alone_s: float = ALONE_S) -> None:
        self._alone_s = alone_s
        self._turn = asyncio.Lock()
        self._alone: Hashable | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, suspect: Hashable) -> None:
        """Wait for the turn, which ends when the suspect leaves, or after `ALONE_S`."""
        await self._turn.acquire()
        self._alone = suspect
        self._timer = asyncio.get_running_loop().call_later(self._alone_s, self.leave, suspect)

    def leave(self, suspect: Hashable) -> None:
        """End the turn, if it still is the suspect's."""
        if self._alone == suspect and self._timer is not None:
            self._timer.cancel()  # or it would end this suspect's next turn
            self._alone = self._timer = None
            self._turn.release()
