"""A process's hand in the batch lanes: steps are claimed, done one after the other, and let go of.

A claim is short, and renewed while its step goes on; where that fails the step is called off, as
another process may have begun it.
"""

import asyncio
import logging
import time

from jobs.errors import LeaseLost, ServiceUnavailable
from jobs.store.native import native
from jobs.store.native.native import CLAIM, Native
from workers.lanes.lanes import Lanes
from workers.lanes.sharing import Sharing
from workers.lanes.steps import Steps
from workers.parts import Parts

log = logging.getLogger(__name__)

RENEW_S = CLAIM.total_seconds() / 4

STEPS = 20
"""Steps of a native batch that are done for one hint where each is due soon."""

SOON_S = 3.0


class Office:
    """One per process, used on its event loop. What it is asked for is a hint: the rows decide."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lanes = Lanes(parts.configuration, parts.keys)
        self._sharing = Sharing(parts, self._lanes)
        self._steps = Steps(parts, self._lanes)
        self._is_closing = False
        self._busy: set[str] = set()

    async def share_out(self, batch_ref: str) -> None:
        """Share a batch out over the lanes, if that is due."""
        try:
            await self._sharing.share_out(batch_ref)
        except (LeaseLost, ServiceUnavailable) as error:
            log.warning("%s is not shared out: %s", batch_ref, error)

    async def look_after(self, ref: str) -> None:
        """Do the steps of a native batch that are due."""
        if ref in self._busy:
            return
        self._busy.add(ref)
        try:
            for _step in range(STEPS):
                if self._is_closing or not await self._is_soon(ref):
                    return
                claimed = await self._parts.transactions.write(
                    lambda s: native.claim(s, ref), about=ref, tries=1
                )
                if claimed is None:
                    return
                await self._do(claimed)
        except ServiceUnavailable as error:
            log.warning("%s is left to the next hint: %s", ref, error)
        finally:
            self._busy.discard(ref)

    def close(self) -> None:
        """Begin no more steps."""
        self._is_closing = True

    async def end(self) -> None:
        """Close the connections; nobody asks for anything any more."""
        await self._lanes.close()

    async def _is_soon(self, ref: str) -> bool:
        """Wait for the next step if it is due within moments: a hint takes about as long to come."""
        wait_s = await self._parts.transactions.read(lambda s: native.due_in(s, ref))
        if wait_s is None or wait_s > SOON_S:
            return False
        await asyncio.sleep(max(wait_s, 0.0))
        return True

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
