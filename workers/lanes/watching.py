"""Watching native batches that are at their provider: how far they are, and when they are cancelled.

Rescue is nothing but a cancel in time: what is finished is kept, and the slices go back, to be run live.
"""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from jobs.clock import utcnow
from jobs.states import NativeState
from jobs.store.native.native import Native
from workers.lanes.lanes import BatchApi
from workers.lanes.upkeep import Upkeep, is_over, refusal

log = logging.getLogger(__name__)

CANCEL_LOOK_S = 5.0
"""Until it is looked at first whether a cancel has come to its end."""


class Watching:
    """One process's steps of native batches that run, or are being cancelled."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep

    async def look(self, of: Native, api: BatchApi) -> None:
        """See how it stands, and cancel it if it must be."""
        assert of.remote_id is not None  # it was created
        remote = await api.wire.look(self._upkeep.key(of), of.remote_id)
        if remote.is_ended:
            await self._upkeep.move(
                of, NativeState.INGESTING, done=remote.done, trouble=refusal(remote.failure)
            )
            return
        told: dict[str, Any] = {"done": remote.done}
        if remote.expires_at is not None:
            told["expires_at"] = remote.expires_at
        seen = replace(of, done=remote.done)
        if of.state is NativeState.CANCELLING:
            await self._see_cancelled(seen, api, told)
        elif (why := await self._why_cancel(seen, api)) is not None:
            await self._cancel(seen, api, why, told)
        else:
            wait_s = await self._wait_s(seen, api)
            await self._upkeep.move(of, of.state, wait_s=wait_s, trouble=None, **told)
            await self._upkeep.tell(of, remote.done)

    async def _see_cancelled(self, of: Native, api: BatchApi, told: dict[str, Any]) -> None:
        assert of.remote_id is not None  # it was created
        if await self._upkeep.must_leave(of, api):
            await self._upkeep.abandon(of, api, "its provider did not cancel it in time")
            return
        # The one before may have been lost.
        await api.wire.cancel(self._upkeep.key(of), of.remote_id)
        await self._upkeep.move(of, of.state, wait_s=api.times.look_every_s, **told)

    async def _cancel(self, of: Native, api: BatchApi, why: str, told: dict[str, Any]) -> None:
        assert of.remote_id is not None  # it was created
        log.info("%s is cancelled: %s", of.ref, why)
        await api.wire.cancel(self._upkeep.key(of), of.remote_id)
        await self._upkeep.move(
            of,
            NativeState.CANCELLING,
            wait_s=min(api.times.look_every_s, CANCEL_LOOK_S),
            cancelled_at=utcnow(),
            trouble=f"cancelled: {why}",
            **told,
        )

    async def _why_cancel(self, of: Native, api: BatchApi) -> str | None:
        if is_over(of):
            return "so is its batch"
        if await self._upkeep.is_rescue_due(of, api):
            return "what is left must be run live to be there in time"
        cancel_s = timedelta(seconds=api.times.cancel_s)
        if of.expires_at is not None and utcnow() > of.expires_at + cancel_s:
            return "its provider did not end it when it said"
        return None

    async def _wait_s(self, of: Native, api: BatchApi) -> float:
        """Return when to look next: in time for a rescue."""
        moment = await self._upkeep.rescue_at(of, api)
        if moment is None:
            return api.times.look_every_s
        left_s = max((moment - utcnow()).total_seconds(), 0.5)
        return min(api.times.look_every_s, left_s)
