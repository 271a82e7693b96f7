"""What all steps of native batches need: guarded writes, the time that is left, and the ways out."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr

from jobs.clock import utcnow
from jobs.errors import ProviderError
from jobs.lanes import LiveWork, rescue_at
from jobs.states import FED_BATCH_STATES, FINAL_BATCH_STATES, BatchState, NativeState
from jobs.store import Session
from jobs.store.batches import batches
from jobs.store.native import lane_shares, native, native_making
from jobs.store.native.native import Native
from jobs.store.native.native_slices import HeldSlice, held_slices
from workers.lanes.ingest import Ingest
from workers.lanes.lanes import BatchApi, Lanes
from workers.lanes.sharing import live_work_s
from workers.parts import Parts

log = logging.getLogger(__name__)

AFTERMATH = timedelta(days=1)
"""After its provider's own end of it, a native batch that was lost can bill nothing more."""

LONGEST_WAIT_S = 900.0
"""Between two tries of a step that fails."""

TROUBLE_CHARACTERS = 500


class Upkeep:
    """One process's. Each write is void if somebody else has claimed the native batch since (LeaseLost)."""

    def __init__(self, parts: Parts, lanes: Lanes) -> None:
        self.parts = parts
        self.lanes = lanes
        self.ingest = Ingest(parts, lanes)

    def key(self, of: Native) -> SecretStr | None:
        """Return the key for all that is asked of it; raises AuthenticationFailed without one."""
        return self.lanes.key(of.group.provider, of.group.pool)

    async def write(self, of: Native, run: Callable[[Session], Any]) -> Any:
        """Return what `run` returns in a committed transaction."""
        return await self.parts.transactions.write(run, about=of.batch_ref)

    async def move(
        self, of: Native, to: NativeState, *, wait_s: float = 0.0, **values: Any
    ) -> None:
        """Write its next state and let go of it; the next step is due in `wait_s`."""
        if values.get("trouble") is not None:
            values["trouble"] = values["trouble"][:TROUBLE_CHARACTERS]
        await self.write(of, lambda s: native.move(s, of, to, wait_s=wait_s, **values))

    async def held(self, of: Native) -> list[HeldSlice]:
        """Return the slices that it still holds."""
        every = await self.parts.transactions.read(lambda s: held_slices(s, of))
        return [piece for piece in every if piece.is_held]

    # --- the time that is left

    async def rescue_at(self, of: Native, api: BatchApi) -> datetime | None:
        """Return when the rest is to be run live: all that native batches of its batch still owe."""
        if of.deadline is None:
            return None
        provider = of.group.provider
        owed = await self.parts.transactions.read(
            lambda s: lane_shares.outstanding(s, of.batch_id, provider)
        )
        work_s = live_work_s(self.parts, provider, of.group.model, LiveWork(*owed))
        return rescue_at(of.deadline, work_s, api.times)

    async def is_rescue_due(self, of: Native, api: BatchApi) -> bool:
        """Whether what is left must be run live now to be there in time."""
        moment = await self.rescue_at(of, api)
        return moment is not None and utcnow() >= moment

    async def must_leave(self, of: Native, api: BatchApi) -> bool:
        """Whether a native batch that does not end is left to itself, so that its jobs run live."""
        since = of.cancelled_at or await self.rescue_at(of, api)
        if since is None:
            since = last_moment(of, api)
        patience_s = api.times.cancel_s + 2 * api.times.look_every_s
        return utcnow() > since + timedelta(seconds=patience_s)

    # --- the ways out

    async def let_go(self, of: Native, some: Sequence[HeldSlice]) -> None:
        """Let slices run live whose lines were not sent, or certainly not run."""
        await self.ingest.give_up_lines(of, some)
        await self.ingest.release(of, some)

    async def dissolve(self, of: Native, trouble: str) -> None:
        """End a native batch that was not created: all of its slices run live, or are cancelled."""
        await self.let_go(of, await self.held(of))
        await self.move(of, NativeState.ENDED, trouble=trouble)

    async def abandon(self, of: Native, api: BatchApi, why: str) -> None:
        """Let its jobs run live though it may still bill: lines without an end are charged at their worst."""
        log.warning("%s is left to itself: %s", of.ref, why)
        await self.ingest.release(of, await self.held(of))
        trouble = f"its jobs run live, and it is looked after until it ends: {why}"
        await self.lose(of, api, trouble)

    async def lose(self, of: Native, api: BatchApi, trouble: str) -> None:
        """Look after it from now on only for what it may bill."""
        await self.move(
            of,
            NativeState.LOST,
            wait_s=api.times.look_every_s,
            trouble=trouble,
            expires_at=last_moment(of, api) - AFTERMATH,
        )

    async def send_again(
        self, of: Native, api: BatchApi, *, is_too_large: bool = False, wait_s: float = 0.0
    ) -> None:
        """Let slices whose lines were not run wait in another native batch; or run live, if they can't wait.

        `is_too_large`: it was refused for its size with nothing beside it, so it is halved.
        """
        held = await self.held(of)
        if is_too_large and len(held) == 1:
            await self.let_go(of, held)
            return
        await self.ingest.give_up_lines(of, held)
        half = (len(held) + 1) // 2 if is_too_large else len(held)
        wait_s = max(wait_s, backoff_s(of.tries, api.times.look_every_s))
        for some in (held[:half], held[half:]):
            if some:
                await self.write(
                    of,
                    lambda s, some=some: native_making.split(  # type: ignore[misc]  # one parameter
                        s, of, some, wait_s=wait_s, tries=of.tries + 1
                    ),
                )

    async def tell(self, of: Native, done: int | None) -> None:
        """Say with the batch where its jobs are."""
        since = f"{of.submitted_at or utcnow():%H:%M}"
        share = "" if not done else f", {100 * done // max(of.jobs, 1)} % done"
        told = f"{of.jobs:,} jobs are in a batch at {of.group.provider} since {since} UTC{share}"
        if of.batch_state in FED_BATCH_STATES:
            await self.parts.transactions.write(
                lambda s: batches.tell_waits(s, {of.batch_id: told}, {}), about=of.batch_ref
            )


def last_moment(of: Native, api: BatchApi) -> datetime:
    """Return from when on a native batch can bill nothing more, whatever is known of it."""
    if of.state is not NativeState.SENDING and of.expires_at is not None:
        return of.expires_at + AFTERMATH
    sent_at = of.sent_at or of.created_at
    return sent_at + timedelta(seconds=api.wire.shape.expires_after_s) + AFTERMATH


def is_over(of: Native) -> bool:
    """Whether its batch wants nothing more of it."""
    return of.batch_state in {BatchState.CANCELLING, BatchState.FINALIZING, *FINAL_BATCH_STATES}


def refusal(error: ProviderError | None) -> str | None:
    """Return the sentence for a native batch that its provider refused as a whole."""
    return None if error is None else f"its provider refused it: {error.message}"


def backoff_s(tries: int, look_every_s: float) -> float:
    """Return the wait before a step that has failed so often is tried again."""
    return float(min(look_every_s * 2 ** min(tries, 6), LONGEST_WAIT_S))
