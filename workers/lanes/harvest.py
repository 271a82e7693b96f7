"""Native batches that have ended, and those that were lost: what they brought, and what they billed."""

import logging

from jobs.clock import utcnow
from jobs.errors import ProviderError, RateLimited, Transient
from jobs.states import NativeState
from jobs.store.native import native, native_room
from jobs.store.native.native import Native
from workers.lanes.lanes import BatchApi
from workers.lanes.sending import Sending
from workers.lanes.upkeep import Upkeep, is_over, last_moment, refusal
from workers.lanes.wire import End, Remote

log = logging.getLogger(__name__)


class Harvest:
    """One process's steps of native batches whose results are read, or that are only looked after."""

    def __init__(self, upkeep: Upkeep, sending: Sending) -> None:
        self._upkeep = upkeep
        self._sending = sending

    async def take_in(self, of: Native, api: BatchApi) -> None:
        """Read its results, let go of its slices, and leave nothing behind."""
        assert of.remote_id is not None  # it was created
        remote = await api.wire.look(self._upkeep.key(of), of.remote_id)
        if remote.end is End.FAILED and isinstance(remote.failure, Transient) and not is_over(of):
            await self._send_again(of, api, remote.failure)
            return
        await self._upkeep.ingest.take_in(of, api, remote)
        await self._tidy(of, api, remote)
        await self._upkeep.move(of, NativeState.ENDED)

    async def look_after(self, of: Native, api: BatchApi) -> None:
        """Look for one that was lost, cancel it, and book what it bills, until it can bill nothing more."""
        upkeep, remote_id = self._upkeep, of.remote_id
        if remote_id is None:
            found, _ = await self._sending.traces(of, api)
            if found is None:
                await self.look_again(of, api)
                return
            remote_id = found.id
            log.warning("%s has turned up as %s", of.ref, remote_id)
            await upkeep.write(of, lambda s: native.write(s, of, remote_id=remote_id))
        remote = await api.wire.look(upkeep.key(of), remote_id)
        if remote.is_ended:
            await upkeep.ingest.take_in(of, api, remote)
            await self._tidy(of, api, remote)
            await upkeep.move(of, NativeState.ENDED)
            return
        await api.wire.cancel(upkeep.key(of), remote_id)
        await self.look_again(of, api)

    async def look_again(self, of: Native, api: BatchApi) -> None:
        """Look after a lost one later, if it can still bill something."""
        can_bill = utcnow() < last_moment(of, api)
        to = NativeState.LOST if can_bill else NativeState.ENDED
        await self._upkeep.move(
            of, to, wait_s=api.times.look_every_s, tries=of.tries + 1, ended_at=of.ended_at
        )

    async def _send_again(self, of: Native, api: BatchApi, failure: ProviderError) -> None:
        """Send the slices of one that was refused for now again, later; smaller if it was alone."""
        is_full = isinstance(failure, RateLimited)
        is_too_large = is_full and await self._upkeep.parts.transactions.read(
            lambda s: native_room.is_alone(s, of)
        )
        await self._upkeep.send_again(
            of, api, is_too_large=is_too_large, wait_s=failure.wait_s or 0.0
        )
        await self._upkeep.move(of, NativeState.ENDED, trouble=refusal(failure))

    async def _tidy(self, of: Native, api: BatchApi, remote: Remote) -> None:
        try:
            await api.wire.tidy(self._upkeep.key(of), remote, of.file_id or "")
        except ProviderError as error:
            log.warning("what is left of %s at its provider stays there: %s", of.ref, error)
