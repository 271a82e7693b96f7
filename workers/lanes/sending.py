"""Sending a native batch: packed, uploaded, created, and looked for if nobody knows whether it was.

No create is idempotent anywhere. So the intent is written before it leaves, and what stands there under a
claim that has died, or after a create without a clear answer, is looked for before anything else is done.
"""

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from jobs.clock import utcnow
from jobs.errors import Overloaded, Permanent, ProviderError, RateLimited
from jobs.exchange import Endpoint
from jobs.states import FED_BATCH_STATES, NativeState
from jobs.store.attempts.reports import Admission
from jobs.store.native import native, native_making, native_room
from jobs.store.native.native import Native
from workers.lanes.lanes import BatchApi
from workers.lanes.packing import Packed, Packing
from workers.lanes.upkeep import Upkeep, backoff_s, is_over, refusal
from workers.lanes.wire import Order, Remote, may_have_created

log = logging.getLogger(__name__)

GRACE_LOOKS = 10
"""Looks for what a create without an answer may have left, before it is given up: lists lag behind."""

REFUSED_LOOKS = 2
"""The same after a refusal: it is one, but for a proxy's whose server had created it already."""


LEFT_NOTHING = 3
"""Creates in a row that left nothing, after which one is taken to be larger than its provider's queue."""


class Sending:
    """One process's steps of native batches that are not known to be at their provider."""

    def __init__(self, upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        self._packing = Packing(upkeep.parts, upkeep.lanes)

    async def pack(self, of: Native, api: BatchApi) -> None:
        """Pack a native batch and send it, if there is room and time."""
        upkeep, look_every_s = self._upkeep, api.times.look_every_s
        if is_over(of):
            await upkeep.dissolve(of, "the batch was cancelled before it was sent")
        elif of.batch_state not in FED_BATCH_STATES:
            await upkeep.move(of, of.state, wait_s=look_every_s)
        elif of.held_until is not None and of.held_until > utcnow():
            # Outside of the batch's hours nothing new is sent.
            await upkeep.move(of, of.state, wait_s=look_every_s)
        elif await upkeep.is_rescue_due(of, api):
            await upkeep.dissolve(of, "there was no time left to send it")
        elif not await upkeep.write(
            of,
            lambda s: native_room.enqueue(
                s, of, enqueued_tokens=api.enqueued_tokens, max_open=api.max_open
            ),
        ):
            trouble = "it waits for room among what is enqueued at its provider"
            await upkeep.move(of, of.state, wait_s=look_every_s, trouble=trouble)
        else:
            async with self._packing.pack(of) as packed:
                await self._send(of, api, packed)

    async def find(self, of: Native, api: BatchApi) -> None:
        """Look for what a create has left of which nobody knows how it ended."""
        upkeep = self._upkeep
        found, possible = await self.traces(of, api)
        if found is not None:
            await self._adopt(of, api, found)
        elif possible and await upkeep.must_leave(of, api):
            await upkeep.abandon(of, api, "whether its provider has it can't be told")
        elif possible or (of.expires_at is not None and utcnow() < of.expires_at):
            wait_s = min(api.times.look_every_s, 10.0)
            await upkeep.move(of, of.state, wait_s=wait_s, tries=of.tries)
        else:
            log.warning("%s is not at its provider", of.ref)
            trouble = (
                "it was sent, and its provider does not have it; it is looked for all the same"
            )
            if await upkeep.is_rescue_due(of, api) or is_over(of):
                await upkeep.let_go(of, await upkeep.held(of))
            else:
                await upkeep.send_again(of, api, is_too_large=await self._is_too_large(of))
            await upkeep.lose(of, api, trouble)

    async def traces(self, of: Native, api: BatchApi) -> tuple[Remote | None, int]:
        """Return the native batch if its provider has it, and how many there are that may be it."""
        since = of.sent_at or of.created_at
        known = await self._upkeep.parts.transactions.read(
            lambda s: native_room.remote_ids(s, of.group, since)
        )
        order = _order(of, Path(), of.jobs, 0)
        return await api.wire.find(self._upkeep.key(of), order, since, known)

    async def _send(self, of: Native, api: BatchApi, packed: Packed) -> None:
        upkeep = self._upkeep
        await upkeep.let_go(of, packed.unfit)
        if packed.refused and not await self._goes_without(of, api, packed):
            return
        if packed.lines == 0:
            await upkeep.move(of, NativeState.ENDED, trouble="nothing was left to be sent")
            return
        order = _order(of, packed.spool, packed.lines, packed.size_bytes)
        try:
            file_id = await api.wire.upload(upkeep.key(of), order)
        except ProviderError as error:
            await self._refused(of, api, error)
            return
        await self._create(await self._intend(of, api, order, file_id), api, order)

    async def _intend(self, of: Native, api: BatchApi, order: Order, file_id: str) -> Native:
        """Write that it is about to be created; return it as it stands then, still claimed."""
        sent_at = utcnow()
        given_up_at = sent_at + timedelta(seconds=GRACE_LOOKS * api.times.look_every_s)
        await self._upkeep.write(
            of,
            lambda s: native.write(
                s,
                of,
                state=NativeState.SENDING,
                sent_at=sent_at,
                expires_at=given_up_at,
                file_id=file_id,
                jobs=order.lines,
                size_bytes=order.size_bytes,
            ),
        )
        return replace(
            of, state=NativeState.SENDING, sent_at=sent_at, jobs=order.lines, file_id=file_id
        )

    async def _create(self, of: Native, api: BatchApi, order: Order) -> None:
        look_every_s = api.times.look_every_s
        try:
            remote = await api.wire.create(self._upkeep.key(of), order, of.file_id or "")
        except ProviderError as error:
            if not may_have_created(error):
                await self._refused(of, api, error)
                return
            log.warning("whether %s was created is to be found out: %s", of.ref, error)
            is_refusal = isinstance(error, RateLimited | Overloaded)
            looks = REFUSED_LOOKS if is_refusal else GRACE_LOOKS
            await self._upkeep.move(
                of,
                NativeState.SENDING,
                wait_s=min(1.0, look_every_s),
                expires_at=utcnow() + timedelta(seconds=looks * look_every_s),
                tries=of.tries,
                trouble=f"it was sent, and is being looked for: {error.message}",
            )
            return
        await self._adopt(of, api, remote)

    async def _refused(self, of: Native, api: BatchApi, error: ProviderError) -> None:
        """Try again later what was certainly not created; run live what never will be."""
        if isinstance(error, Permanent):
            await self._upkeep.dissolve(of, refusal(error) or "")
            return
        await self._upkeep.move(
            of,
            NativeState.PACKING,
            wait_s=backoff_s(of.tries, api.times.look_every_s),
            tries=of.tries + 1,
            trouble=error.message,
        )

    async def _goes_without(self, of: Native, api: BatchApi, packed: Packed) -> bool:
        """Part with slices that may not be sent now; return whether the rest is sent."""
        upkeep, wait_s = self._upkeep, api.times.look_every_s
        match packed.admission:
            case Admission.NO_ROOM_YET if packed.lines > 0:
                await upkeep.write(
                    of, lambda s: native_making.split(s, of, packed.refused, wait_s=wait_s)
                )
                return True
            case Admission.NO_ROOM_YET if await self._has_reservations(of):
                trouble = "it waits for room in a budget"
                await upkeep.move(of, of.state, wait_s=wait_s, trouble=trouble, enqueued_at=None)
                return False
            case Admission.RESTING if packed.lines == 0:
                await upkeep.move(of, of.state, wait_s=wait_s)
                return False
            case _:
                await upkeep.let_go(of, packed.refused)
                return True

    async def _adopt(self, of: Native, api: BatchApi, remote: Remote) -> None:
        """Note that its provider has it."""
        log.info("%s is %s at %s", of.ref, remote.id, of.group.provider)
        moment = utcnow()
        expires_s = api.wire.shape.expires_after_s
        await self._upkeep.move(
            of,
            NativeState.RUNNING,
            wait_s=api.times.look_every_s,
            remote_id=remote.id,
            submitted_at=moment,
            expires_at=remote.expires_at or moment + timedelta(seconds=expires_s),
            trouble=None,
        )
        await self._upkeep.tell(of, 0)

    async def _is_too_large(self, of: Native) -> bool:
        """Whether it was refused again and again with nothing beside it, so that waiting is of no use."""
        return of.tries + 1 >= LEFT_NOTHING and await self._upkeep.parts.transactions.read(
            lambda s: native_room.is_alone(s, of)
        )

    async def _has_reservations(self, of: Native) -> bool:
        return await self._upkeep.parts.transactions.read(
            lambda s: native_room.has_reservations(s, of.batch_id)
        )


def _order(of: Native, spool: Path, lines: int, size_bytes: int) -> Order:
    return Order(
        tag=of.ref,
        model=of.group.model,
        endpoint=Endpoint(of.group.endpoint),
        spool=spool,
        lines=lines,
        size_bytes=size_bytes,
    )
