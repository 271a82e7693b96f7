"""The steps of a native batch's life: each does one thing at the provider and writes what came of it."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from jobs.clock import utcnow
from jobs.errors import Permanent, ProviderError
from jobs.states import NativeState
from jobs.store.native.native import Native
from workers.lanes.harvest import Harvest
from workers.lanes.lanes import BatchApi, Lanes
from workers.lanes.sending import Sending
from workers.lanes.upkeep import Upkeep, backoff_s, last_moment
from workers.lanes.watching import Watching
from workers.parts import Parts

log = logging.getLogger(__name__)

MOST_TRIES = 8
"""Failures in a row after which results that can't be fetched are given up."""

MOST_REFUSALS = 2
"""The same of failures that say that there are none."""

NOT_FOUND = 404

UNCONFIGURED_S = 60.0
"""Until it is looked again whether a provider has a batch lane by now."""


class Steps:
    """One process's steps, each of a native batch that is claimed; it lets go of that."""

    def __init__(self, parts: Parts, lanes: Lanes) -> None:
        self._lanes = lanes
        self._upkeep = Upkeep(parts, lanes)
        self._sending = Sending(self._upkeep)
        self._harvest = Harvest(self._upkeep, self._sending)
        watching = Watching(self._upkeep)
        self._steps: dict[NativeState, Callable[[Native, BatchApi], Awaitable[None]]] = {
            NativeState.PACKING: self._sending.pack,
            NativeState.SENDING: self._sending.find,
            NativeState.RUNNING: watching.look,
            NativeState.CANCELLING: watching.look,
            NativeState.INGESTING: self._harvest.take_in,
            NativeState.LOST: self._harvest.look_after,
        }

    async def step(self, of: Native) -> None:
        """Do the step that is due.

        Raises:
            LeaseLost: somebody else has claimed it since.
        """
        api = self._lanes.of(of.group.provider)
        if api is None:
            await self._without_lane(of)
            return
        try:
            await self._steps[of.state](of, api)
        except ProviderError as error:
            log.warning("%s is %s: %s", of.ref, of.state, error)
            await self._failed(of, api, error)

    async def _without_lane(self, of: Native) -> None:
        trouble = f"{of.group.provider} has no batch lane in this configuration"
        if of.state is NativeState.PACKING:
            await self._upkeep.dissolve(of, trouble)
        else:
            await self._upkeep.move(of, of.state, wait_s=UNCONFIGURED_S, trouble=trouble)

    async def _failed(self, of: Native, api: BatchApi, error: ProviderError) -> None:
        """Try a step again later; give up what can't be waited for any longer."""
        upkeep = self._upkeep
        is_gone = isinstance(error, Permanent) and error.status == NOT_FOUND
        match of.state:
            case NativeState.LOST if is_gone or utcnow() > last_moment(of, api):
                await upkeep.move(of, NativeState.ENDED, trouble=error.message)
            case NativeState.INGESTING if is_gone and not await upkeep.held(of):
                # It was read and tidied away, and whoever did died before the last word.
                await upkeep.move(of, NativeState.ENDED)
            case NativeState.INGESTING if _is_given_up(of, api, error):
                await upkeep.abandon(of, api, f"its results can't be fetched: {error.message}")
            case NativeState.RUNNING | NativeState.CANCELLING if (
                is_gone and of.tries >= MOST_REFUSALS
            ) or await upkeep.must_leave(of, api):
                await upkeep.abandon(of, api, error.message)
            case NativeState.SENDING if await upkeep.must_leave(of, api):
                await upkeep.abandon(of, api, error.message)
            case _:
                await upkeep.move(
                    of,
                    of.state,
                    wait_s=backoff_s(of.tries, api.times.look_every_s),
                    tries=of.tries + 1,
                    trouble=error.message,
                )


def _is_given_up(of: Native, api: BatchApi, error: ProviderError) -> bool:
    """Whether results that can't be fetched are not waited for: too often tried, or no time is left."""
    if of.deadline is not None:
        patience_s = api.times.cancel_s + 2 * api.times.look_every_s
        if utcnow() > of.deadline - timedelta(seconds=patience_s):
            return True
    return of.tries >= (MOST_REFUSALS if isinstance(error, Permanent) else MOST_TRIES)
