"""Sharing a batch out over the lanes: which of its slices go into native batches, and which run live.

Until that is decided for all of its waiting slices, none of them is fed. Killed in between, another one
begins anew: what has been leased for native batches is not waiting any more.
"""

import asyncio
import logging
import math
import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from jobs.clock import utcnow
from jobs.defaults import JobDefaults
from jobs.exchange import Lane
from jobs.lanes import LiveWork, choose, costs_less, custom_id, live_s
from jobs.pools import model_scope
from jobs.routing import Target
from jobs.states import LaneWish
from jobs.store.batches.jobs import OpenJob, SliceRange, open_jobs
from jobs.store.native import lane_shares, native_making
from jobs.store.native.lane_shares import Share
from jobs.store.native.native import Group
from jobs.store.native.native_making import PlannedSlice
from workers.lanes.lanes import BatchApi, Lanes
from workers.lanes.plans import Planner, prices_of
from workers.parts import Parts

log = logging.getLogger(__name__)

SLICES_AT_ONCE = 20
"""Slices that are read and planned before a sign of life is given."""

NAME_LIKE = "nat_" + "0" * 20
"""As long as a native batch's name: what its lines will be called is not known yet."""

_Kind = tuple[str, str, str]
"""Provider, model and endpoint of the lines of a native batch."""


class Sharing:
    """One process's sharing out."""

    def __init__(self, parts: Parts, lanes: Lanes) -> None:
        self._parts = parts
        self._lanes = lanes

    async def share_out(self, ref: str) -> None:
        """Share a batch out, if that is due and nobody does it. The sweep feeds what is left."""
        begun = await self._parts.transactions.write(lambda s: lane_shares.begin(s, ref), about=ref)
        if begun is None:
            return
        kinds, share, seen = await self._all_planned(begun)
        for kind, planned in kinds.items():
            if share is not None and self._takes_lane(share, kind, planned):
                share = await self._made(share, kind, planned)
        if share is not None:
            await self._end(share, seen)

    async def _all_planned(
        self, share: Share
    ) -> tuple[dict[_Kind, list[PlannedSlice]], Share | None, int]:
        """Return the slices that can go into native batches, and the last that was looked at.

        No share if another one has begun.
        """
        defaults = JobDefaults.from_json(share.defaults)
        planner = Planner(self._parts, self._lanes, share.batch_id, defaults)
        kinds: dict[_Kind, list[PlannedSlice]] = defaultdict(list)
        going: Share | None = share
        after = -1
        while going is not None and (pieces := await self._waiting(share, after)):
            for piece in pieces:
                found = await self._planned(share, piece, planner)
                if found is not None:
                    kinds[found[0]].append(found[1])
            after = pieces[-1].no
            going = await self._gone_on(going)
        return kinds, going, after

    async def _waiting(self, share: Share, after: int) -> Sequence[SliceRange]:
        return await self._parts.transactions.read(
            lambda s: lane_shares.waiting(s, share.batch_id, after=after, limit=SLICES_AT_ONCE)
        )

    async def _end(self, share: Share, seen: int) -> None:
        await self._parts.transactions.write(
            lambda s: lane_shares.end(s, share, seen=seen), about=share.ref
        )

    async def _gone_on(self, share: Share) -> Share | None:
        due_at = await self._parts.transactions.write(
            lambda s: lane_shares.go_on(s, share), about=share.ref
        )
        return None if due_at is None else replace(share, due_at=due_at)

    async def _planned(
        self, share: Share, piece: SliceRange, planner: Planner
    ) -> tuple[_Kind, PlannedSlice] | None:
        """Return what a slice asks if all of its open jobs can be lines of one native batch."""
        jobs = await self._parts.transactions.read(
            lambda s: open_jobs(s, share.batch_id, piece, is_first_lease=False)
        )
        return await asyncio.to_thread(_plan_slice, planner, piece, jobs)

    def _takes_lane(self, share: Share, kind: _Kind, planned: Sequence[PlannedSlice]) -> bool:
        provider, model, _ = kind
        api = self._lanes.of(provider)
        assert api is not None  # there is a plan for it
        prices = prices_of(self._parts, Target(provider, model))
        work = LiveWork(
            sum(piece.jobs for piece in planned), sum(piece.estimated_tokens for piece in planned)
        )
        left_s = None
        if share.deadline is not None:
            left_s = (share.deadline - utcnow()).total_seconds()
        lane = choose(
            LaneWish(share.lane),
            is_cheaper=costs_less(prices.batch, prices.live),
            left_s=left_s,
            work_live_s=live_work_s(self._parts, provider, model, work),
            times=api.times,
        )
        return lane is Lane.BATCH

    async def _made(
        self, share: Share, kind: _Kind, planned: Sequence[PlannedSlice]
    ) -> Share | None:
        """Make native batches of planned slices, each within what its provider takes."""
        provider, model, endpoint = kind
        api = self._lanes.of(provider)
        assert api is not None  # there is a plan for it
        going: Share | None = share
        for some in packed(planned, api):
            pool = self._lanes.next_pool(provider)
            if going is None or pool is None:
                break  # whoever runs it live tells why
            await self._make(share, Group(provider, pool, model, endpoint), some)
            going = await self._gone_on(going)
        return going

    async def _make(self, share: Share, group: Group, some: Sequence[PlannedSlice]) -> None:
        ref = await self._parts.transactions.write(
            lambda s: native_making.make(s, share.batch_id, group, some), about=share.ref
        )
        if ref is not None:
            log.info("%s holds %d slices of %s", ref, len(some), share.ref)


def live_work_s(parts: Parts, provider: str, model: str, work: LiveWork) -> float:
    """Return how long work takes live over all pools of a provider, at their configured limits."""
    pools = parts.configuration.providers[provider].pools
    share = LiveWork(-(-work.jobs // len(pools)), -(-work.input_tokens // len(pools)))
    return max(
        live_s(share, limits)
        for pool in pools
        for limits in (pool.limits, model_scope(pool, model)[2])
        if limits.model_dump(exclude_none=True) or limits is pool.limits
    )


def packed(planned: Sequence[PlannedSlice], api: BatchApi) -> list[list[PlannedSlice]]:
    """Put slices together to native batches, in order, as large as the provider takes them.

    A slice that is too large by itself is left out.
    """
    shape = api.wire.shape
    limits = (shape.max_lines, shape.max_bytes, api.enqueued_tokens or math.inf)
    all_packed: list[list[PlannedSlice]] = []
    sums: tuple[float, ...] = ()
    for piece in planned:
        own = (piece.jobs, piece.size_bytes, piece.estimated_tokens)
        if any(amount > limit for amount, limit in zip(own, limits, strict=True)):
            continue
        sums = tuple(map(operator.add, sums, own)) if sums else own
        if not all_packed or any(s > limit for s, limit in zip(sums, limits, strict=True)):
            all_packed.append([])
            sums = own
        all_packed[-1].append(piece)
    return all_packed


def _plan_slice(
    planner: Planner, piece: SliceRange, jobs: Sequence[OpenJob]
) -> tuple[_Kind, PlannedSlice] | None:
    kind: _Kind | None = None
    size_bytes = 0
    for job in jobs:
        plan = planner.plan(job)
        if plan is None:
            return None
        # Where models may be mixed the first one stands for all.
        shape = plan.api.wire.shape
        model = plan.target.model if kind is None or shape.is_single_model else kind[1]
        own = (plan.target.provider, model, plan.endpoint)
        kind = kind or own
        line_bytes = planner.size_bytes(plan, custom_id(NAME_LIKE, job.seq, job.last_attempt + 1))
        if own != kind or line_bytes is None:
            return None
        size_bytes += line_bytes
    if kind is None:
        return None
    tokens = sum(job.estimated_tokens for job in jobs)
    return kind, PlannedSlice(piece.no, len(jobs), tokens, size_bytes)
