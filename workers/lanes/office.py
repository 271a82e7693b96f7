"""A process's hand in the batch lanes: steps are claimed, done one after the other, and let go of.

A claim is short, and renewed while its step goes on; where that fails the step is called off, as
another process may have begun it.
"""

import asyncio
import logging
import time

from jobs.errors import LeaseLost, ServiceUnavailable
from jobs.store import native
from jobs.store.native import CLAIM, Native
from workers.lanes.lanes import Lanes
from workers.lanes.sharing import Sharing
from workers.lanes.steps import Steps
from workers.parts import Parts

log = logging.getLogger(__name__)

RENEW_S = CLAIM.total_seconds() / 4

STEPS = 20
"""Steps of a native batch that are done one after the other where each is due at once."""


class Office:
    """One per process, used on its event loop. What it is asked for is a hint: the rows decide."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes = Lanes(parts.configuration, parts.keys)
        self._sharing = Sharing(parts, self._lanes)
        self._steps = Steps(parts, self._lanes)
        self._is_closing = False

    async def share_out(self, batch_ref: str) -> None:
        """Share a batch out over the lanes, if that is due."""
        try:
            await self._sharing.share_out(batch_ref)
        except (LeaseLost, ServiceUnavailable) as error:
            log.warning("%s is not shared out: %s", batch_ref, error)

    async def look_after(self, ref: str) -> None:
        """Do the steps of a native batch that are due."""
        for _step in range(STEPS):
            if self._is_closing:
                return
            claimed = await self._parts.transactions.write(
                lambda s: native.claim(s, ref), about=ref, tries=1
            )
            if claimed is None:
                return
            await self._do(claimed)

    def close(self) -> None:
        """Begin no more steps."""
        self._is_closing = True

    async def end(self) -> None:
        """Close the connections; nobody asks for anything any more."""
        await self._lanes.close()

    async def _do(self, claimed: Native) -> None:
        step = asyncio.create_task(self._steps.step(claimed))
        renewing = asyncio.create_task(self._keep(claimed, step))
        try:
            await step
        except LeaseLost as error:
            log.warning("%s", error)
        except ServiceUnavailable as error:
            log.warning("a step of %s is left: %s", claimed.ref, error)
        finally:
            renewing.cancel()
            step.cancel()

    async def _keep(self, claimed: Native, step: asyncio.Task[None]) -> None:
        """Renew a claim; call its step off when it is somebody else's, or may be."""
        renewed_at_s = time.monotonic()
        while not step.done():
            await asyncio.sleep(RENEW_S)
            try:
                is_mine = await self._parts.transactions.write(
                    lambda s: native.renew(s, claimed.id, claimed.claim),
                    about=claimed.ref,
                    tries=1,
                )
                renewed_at_s = time.monotonic()
            except ServiceUnavailable:
                is_mine = time.monotonic() - renewed_at_s < CLAIM.total_seconds()
            if not is_mine:
                step.cancel()
                return
