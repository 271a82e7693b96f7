"""The steps of a native batch's life: each does one thing at the provider and writes what came of it.

What may have left and was not answered is looked for before anything else is done: no create is idempotent.
Rescue is nothing but a cancel in time: what is finished is kept, and the slices go back, to be run live.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.clock import utcnow
from jobs.errors import Permanent, ProviderError, RateLimited, Transient
from jobs.exchange import Endpoint
from jobs.lanes import LiveWork, rescue_at
from jobs.states import FED_BATCH_STATES, FINAL_BATCH_STATES, BatchState, NativeState
from jobs.store import Session, batches, lane_shares, native, native_slices
from jobs.store.native import Native
from jobs.store.native_slices import HeldSlice, held_slices
from jobs.store.reports import Admission
from workers.lanes.ingest import Ingest
from workers.lanes.lanes import BatchApi, Lanes
from workers.lanes.packing import Packed, Packing
from workers.lanes.sharing import live_work_s
from workers.lanes.wire import End, Order, Remote, may_have_created
from workers.parts import Parts

log = logging.getLogger(__name__)

GRACE_LOOKS = 10
"""Looks for what a create without an answer may have left, before it is given up: lists lag behind."""

MOST_TRIES = 8
"""Failures in a row after which results that can't be fetched are given up."""

LONGEST_WAIT_S = 900.0
"""Between two tries of a step that fails."""

AFTERMATH = timedelta(days=1)
"""After its provider's own end of it, a native batch that was lost can bill nothing more."""


class Steps:
    """One process's steps. Each method does one, of a native batch that is claimed, and lets go of it."""

    def __init__(self, parts: Parts, lanes: Lanes) -> None:
        self._parts = parts
        self._lanes = lanes
        self._packing = Packing(parts, lanes)
        self._ingest = Ingest(parts, lanes)

    async def step(self, of: Native) -> None:
        """Do the step that is due.

        Raises:
            LeaseLost: somebody else has claimed it since.
        """
        api = self._lanes.of(of.group.provider)
        if api is None:
            wait_s, trouble = 60.0, f"{of.group.provider} has no batch lane in this configuration"
            if of.state is NativeState.PACKING:
                await self._dissolve(of, trouble)
            else:
                await self._move(of, of.state, wait_s=wait_s, trouble=trouble)
            return
        does: dict[NativeState, Callable[[Native, BatchApi], Awaitable[None]]] = {
            NativeState.PACKING: self._pack,
            NativeState.SENDING: self._find,
            NativeState.RUNNING: self._look,
            NativeState.CANCELLING: self._look,
            NativeState.INGESTING: self._take_in,
            NativeState.LOST: self._look_after,
        }
        try:
            await does[of.state](of, api)
        except ProviderError as error:
            await self._failed(of, api, error)

    async def _failed(self, of: Native, api: BatchApi, error: ProviderError) -> None:
        """Try a step again later; give up what can't be waited for any longer."""
        log.warning("%s is %s: %s", of.ref, of.state, error)
        if of.state is NativeState.INGESTING and self._is_given_up(of, api, error):
            held = await self._held(of)
            await self._ingest.release(of, held)
            trouble = f"its results could not be fetched: {error.message}"
            await self._move(of, NativeState.LOST, trouble=trouble, wait_s=api.times.look_every_s)
            return
        if of.state in {NativeState.RUNNING, NativeState.CANCELLING}:
            is_gone = isinstance(error, Permanent) and error.status == 404
            too_late = await self._must_leave(of, api)
            if (is_gone and of.tries >= 2) or too_late:
                await self._abandon(of, api, error.message)
                return
        await self._move(
            of,
            of.state,
            wait_s=_backoff_s(of.tries, api.times.look_every_s),
            tries=of.tries + 1,
            trouble=error.message[:500],
        )

    # --- before it is sent

    async def _pack(self, of: Native, api: BatchApi) -> None:
        times = api.times
        if of.batch_state not in FED_BATCH_STATES:
            if of.batch_state == BatchState.CANCELLING or of.batch_state in FINAL_BATCH_STATES:
                await self._dissolve(of, "the batch was cancelled before it was sent")
            else:
                await self._move(of, of.state, wait_s=times.look_every_s)
            return
        if await self._is_rescue_due(of, api):
            await self._dissolve(of, "there was no time left to send it")
            return
        has_room = await self._write(
            of,
            lambda s: native.enqueue(
                s, of, enqueued_tokens=api.enqueued_tokens, max_open=api.max_open
            ),
        )
        if not has_room:
            trouble = "it waits for room among what is enqueued at its provider"
            await self._move(of, of.state, wait_s=times.look_every_s, trouble=trouble)
            return
        async with self._packing.pack(of) as packed:
            await self._send(of, api, packed)

    async def _send(self, of: Native, api: BatchApi, packed: Packed) -> None:
        """Upload what was packed and create the native batch; what could not be packed leaves it."""
        await self._let_go(of, packed.unfit)
        if packed.refused and not await self._is_sent_without(of, api, packed):
            return
        if packed.lines == 0:
            await self._move(of, NativeState.ENDED, trouble="nothing was left to be sent")
            return
        key = self._lanes.key(of.group.provider, of.group.pool)
        order = Order(
            tag=of.ref,
            model=of.group.model,
            endpoint=Endpoint(of.group.endpoint),
            spool=packed.spool,
            lines=packed.lines,
            size_bytes=packed.size_bytes,
        )
        try:
            file_id = await api.wire.upload(key, order)
        except ProviderError as error:
            await self._unsent(of, api, error)
            return
        sent_at = utcnow()
        # The intent, which keeps the claim: whoever finds it under a dead one looks before anything else.
        await self._write(
            of,
            lambda s: native.write(
                s,
                of,
                state=NativeState.SENDING,
                sent_at=sent_at,
                file_id=file_id,
                jobs=packed.lines,
                size_bytes=packed.size_bytes,
            ),
        )
        sending = replace(
            of,
            state=NativeState.SENDING,
            sent_at=sent_at,
            jobs=packed.lines,
            file_id=file_id,
        )
        try:
            remote = await api.wire.create(key, order, file_id)
        except ProviderError as error:
            if may_have_created(error):
                log.warning("whether %s was created is to be found out: %s", of.ref, error)
                await self._move(
                    sending,
                    NativeState.SENDING,
                    wait_s=min(1.0, api.times.look_every_s),
                    trouble=f"it was sent, and is being looked for: {error.message}"[:500],
                )
                return
            await self._unsent(sending, api, error)
            return
        await self._adopt(sending, api, remote)

    async def _unsent(self, of: Native, api: BatchApi, error: ProviderError) -> None:
        """Try again later what was certainly not created; run live what never will be."""
        if isinstance(error, Permanent):
            await self._dissolve(of, f"its provider refused it: {error.message}")
            return
        await self._move(
            of,
            NativeState.PACKING,
            wait_s=_backoff_s(of.tries, api.times.look_every_s),
            tries=of.tries + 1,
            trouble=error.message[:500],
        )

    async def _is_sent_without(self, of: Native, api: BatchApi, packed: Packed) -> bool:
        """Part with slices that may not be sent now; return whether the rest is sent."""
        match packed.admission:
            case Admission.NO_ROOM_YET if packed.lines > 0:
                await self._write(
                    of,
                    lambda s: native_slices.split(
                        s, of, packed.refused, wait_s=api.times.look_every_s
                    ),
                )
                return True
            case Admission.NO_ROOM_YET if await self._has_reservations(of):
                trouble = "it waits for room in a budget"
                await self._move(of, of.state, wait_s=api.times.look_every_s, trouble=trouble)
                return False
            case Admission.RESTING if packed.lines == 0:
                await self._move(of, of.state, wait_s=api.times.look_every_s)
                return False
            case _:
                await self._let_go(of, packed.refused)
                return True

    async def _dissolve(self, of: Native, trouble: str) -> None:
        """End a native batch that was not created: all of its slices run live, or are cancelled."""
        held = await self._held(of)
        await self._ingest.give_up_lines(of, held)
        await self._ingest.release(of, held)
        await self._move(of, NativeState.ENDED, trouble=trouble[:500])

    async def _let_go(self, of: Native, some: list[HeldSlice]) -> None:
        if some:
            await self._ingest.give_up_lines(of, some)
            await self._ingest.release(of, some)

    # --- at its provider

    async def _find(self, of: Native, api: BatchApi) -> None:
        """Look for what a create has left of which nobody knows how it ended."""
        traces = await self._traces(of, api)
        if isinstance(traces, Remote):
            await self._adopt(of, api, traces)
            return
        sent_at = of.sent_at or of.created_at
        grace_s = GRACE_LOOKS * api.times.look_every_s
        if traces or (utcnow() - sent_at).total_seconds() < grace_s:
            await self._move(of, of.state, wait_s=min(api.times.look_every_s, 10.0))
            return
        log.warning("%s is not at its provider: its jobs run elsewhere", of.ref)
        held = await self._held(of)
        await self._ingest.give_up_lines(of, held)
        await self._ingest.release(of, held)
        trouble = "it was sent, and its provider does not list it; it is looked for, and its jobs run live"
        await self._move(of, NativeState.LOST, wait_s=api.times.look_every_s, trouble=trouble)

    async def _traces(self, of: Native, api: BatchApi) -> Remote | int:
        """Return the native batch if its provider has it, else how many there are that may be it."""
        known = await self._parts.transactions.read(lambda s: native.remote_ids(s, of.group))
        order = Order(
            tag=of.ref,
            model=of.group.model,
            endpoint=Endpoint(of.group.endpoint),
            spool=Path(),
            lines=of.jobs,
            size_bytes=0,
        )
        key = self._lanes.key(of.group.provider, of.group.pool)
        found, possible = await api.wire.find(key, order, of.sent_at or of.created_at, known)
        return possible if found is None else found

    async def _adopt(self, of: Native, api: BatchApi, remote: Remote) -> None:
        log.info("%s is %s at %s", of.ref, remote.id, of.group.provider)
        moment = utcnow()
        shape = api.wire.shape
        await self._move(
            of,
            NativeState.RUNNING,
            wait_s=api.times.look_every_s,
            remote_id=remote.id,
            submitted_at=moment,
            expires_at=remote.expires_at or moment + timedelta(seconds=shape.expires_after_s),
            trouble=None,
        )
        await self._tell(of, 0)

    async def _look(self, of: Native, api: BatchApi) -> None:
        """See how it stands, and cancel it if it must be."""
        assert of.remote_id is not None  # it was created
        key = self._lanes.key(of.group.provider, of.group.pool)
        remote = await api.wire.look(key, of.remote_id)
        if remote.is_ended:
            await self._move(
                of, NativeState.INGESTING, done=remote.done, trouble=_failure(remote.failure)
            )
            return
        told: dict[str, Any] = {"done": remote.done, "trouble": None}
        if remote.expires_at is not None:
            told["expires_at"] = remote.expires_at
        seen = replace(of, done=remote.done)
        if of.state is NativeState.CANCELLING:
            if await self._must_leave(seen, api):
                await self._abandon(of, api, "its provider did not cancel it in time")
                return
            await api.wire.cancel(key, of.remote_id)  # the one before may have been lost
            await self._move(of, of.state, wait_s=api.times.look_every_s, **told)
            return
        why = await self._why_cancel(seen, api)
        if why is None:
            wait_s = await self._wait_s(seen, api)
            await self._move(of, of.state, wait_s=wait_s, **told)
            await self._tell(of, remote.done)
            return
        log.info("%s is cancelled: %s", of.ref, why)
        await api.wire.cancel(key, of.remote_id)
        told["trouble"] = f"cancelled: {why}"
        moment = utcnow()
        await self._move(
            of,
            NativeState.CANCELLING,
            wait_s=min(api.times.look_every_s, 5.0),
            cancelled_at=moment,
            **told,
        )

    async def _why_cancel(self, of: Native, api: BatchApi) -> str | None:
        if of.batch_state == BatchState.CANCELLING or of.batch_state in FINAL_BATCH_STATES:
            return "its batch is"
        if await self._is_rescue_due(of, api):
            return "what is left must be done live to be there in time"
        latest = of.expires_at
        if latest is not None and utcnow() > latest + timedelta(seconds=api.times.cancel_s):
            return "its provider did not end it when it said"
        return None

    async def _must_leave(self, of: Native, api: BatchApi) -> bool:
        """Whether a native batch that does not end is left to itself, and its jobs run live."""
        since = of.cancelled_at
        if since is None:
            since = await self._rescue_at(of, api)
        if since is None:
            since = None if of.expires_at is None else of.expires_at + AFTERMATH
        if since is None:
            return False
        patience_s = api.times.cancel_s + 2 * api.times.look_every_s
        return utcnow() > since + timedelta(seconds=patience_s)

    async def _abandon(self, of: Native, api: BatchApi, why: str) -> None:
        """Let its jobs run live though it may still bill: lines without an end are charged at their worst."""
        log.warning("%s is left to itself: %s", of.ref, why)
        await self._ingest.release(of, await self._held(of))
        trouble = f"its jobs run live, and it is looked after until it ends: {why}"
        await self._move(of, NativeState.LOST, wait_s=api.times.look_every_s, trouble=trouble[:500])

    # --- when it has ended

    async def _take_in(self, of: Native, api: BatchApi) -> None:
        """Read its results, let go of its slices, and leave nothing behind."""
        assert of.remote_id is not None  # it was created
        key = self._lanes.key(of.group.provider, of.group.pool)
        remote = await api.wire.look(key, of.remote_id)
        if remote.end is End.FAILED and isinstance(remote.failure, Transient):
            await self._send_again(of, api, remote.failure)
            return
        await self._ingest.take_in(of, api, remote)
        try:
            await api.wire.tidy(key, remote, of.file_id or "")
        except ProviderError as error:
            log.warning("what is left of %s at its provider stays there: %s", of.ref, error)
        await self._move(of, NativeState.ENDED)

    async def _send_again(self, of: Native, api: BatchApi, failure: ProviderError) -> None:
        """Let the slices of one that was refused for now wait in another native batch."""
        held = [piece for piece in await self._held(of) if piece.is_held]
        await self._ingest.give_up_lines(of, held)
        wait_s = failure.wait_s if isinstance(failure, RateLimited) and failure.wait_s else 0.0
        if held:
            await self._write(
                of,
                lambda s: native_slices.split(
                    s, of, held, wait_s=max(wait_s, api.times.look_every_s)
                ),
            )
        await self._move(of, NativeState.ENDED, trouble=_failure(failure))

    async def _look_after(self, of: Native, api: BatchApi) -> None:
        """Look for one that was lost, cancel it, and book what it bills, until it can bill nothing more."""
        sent_at = of.sent_at or of.created_at
        last = of.expires_at or sent_at + timedelta(seconds=api.wire.shape.expires_after_s)
        is_over = utcnow() > last + AFTERMATH
        key = self._lanes.key(of.group.provider, of.group.pool)
        remote_id = of.remote_id
        if remote_id is None:
            traces = await self._traces(of, api)
            if not isinstance(traces, Remote):
                await self._look_again(of, api, is_over=is_over)
                return
            remote_id = traces.id
            log.warning("%s has turned up as %s", of.ref, remote_id)
            await self._write(of, lambda s: native.write(s, of, remote_id=remote_id))
        remote = await api.wire.look(key, remote_id)
        if remote.is_ended:
            await self._ingest.take_in(of, api, remote)
            await self._move(of, NativeState.ENDED)
            return
        await api.wire.cancel(key, remote_id)
        await self._look_again(of, api, is_over=is_over)

    async def _look_again(self, of: Native, api: BatchApi, *, is_over: bool) -> None:
        to = NativeState.ENDED if is_over else of.state
        await self._move(of, to, wait_s=api.times.look_every_s, ended_at=of.ended_at)

    # --- what all of them need

    def _is_given_up(self, of: Native, api: BatchApi, error: ProviderError) -> bool:
        """Whether results that can't be fetched are not waited for: too often tried, or no time is left."""
        if of.deadline is not None:
            patience_s = api.times.cancel_s + 2 * api.times.look_every_s
            if utcnow() > of.deadline - timedelta(seconds=patience_s):
                return True
        return of.tries >= (2 if isinstance(error, Permanent) else MOST_TRIES)

    async def _is_rescue_due(self, of: Native, api: BatchApi) -> bool:
        moment = await self._rescue_at(of, api)
        return moment is not None and utcnow() >= moment

    async def _rescue_at(self, of: Native, api: BatchApi) -> datetime | None:
        """Return when the rest is to be run live: all that native batches of this batch still owe."""
        if of.deadline is None:
            return None
        provider = of.group.provider
        owed = await self._parts.transactions.read(
            lambda s: lane_shares.outstanding(s, of.batch_id, provider)
        )
        work_s = live_work_s(self._parts, provider, of.group.model, LiveWork(*owed))
        return rescue_at(of.deadline, work_s, api.times)

    async def _wait_s(self, of: Native, api: BatchApi) -> float:
        """Return when to look next: in time for a rescue."""
        wait_s = api.times.look_every_s
        moment = await self._rescue_at(of, api)
        if moment is not None:
            wait_s = min(wait_s, max((moment - utcnow()).total_seconds(), 0.5))
        return wait_s

    async def _tell(self, of: Native, done: int | None) -> None:
        """Say with the batch where its jobs are."""
        since = f"{of.submitted_at or utcnow():%H:%M}"
        share = "" if not done else f", {100 * done // max(of.jobs, 1)} % done"
        told = f"{of.jobs:,} jobs are in a batch at {of.group.provider} since {since}{share}"
        if of.batch_state in FED_BATCH_STATES:
            await self._parts.transactions.write(
                lambda s: batches.tell_waits(s, {of.batch_id: told}, {}), about=of.batch_ref
            )

    async def _has_reservations(self, of: Native) -> bool:
        return await self._parts.transactions.read(
            lambda s: batches.by_ids(s, [of.batch_id])[0].reserved_nanos > 0
        )

    async def _held(self, of: Native) -> list[HeldSlice]:
        return await self._parts.transactions.read(lambda s: held_slices(s, of))

    async def _write(self, of: Native, run: Callable[[Session], Any]) -> Any:
        return await self._parts.transactions.write(run, about=of.batch_ref)

    async def _move(
        self, of: Native, to: NativeState, *, wait_s: float = 0.0, **values: Any
    ) -> None:
        await self._write(of, lambda s: native.move(s, of, to, wait_s=wait_s, **values))


def _failure(error: ProviderError | None) -> str | None:
    return None if error is None else f"its provider refused it: {error.message}"[:500]


def _backoff_s(tries: int, look_every_s: float) -> float:
    return float(min(look_every_s * 2 ** min(tries, 6), LONGEST_WAIT_S))
