"""The way of one job: choose a target, take a berth, ask the gate, journal, call, settle."""

import asyncio
from dataclasses import dataclass
from typing import Any

from jobs.budget import no_price
from jobs.clock import utcnow
from jobs.errors import ProviderError, TidemillError, UnknownModel
from jobs.exchange import ModelRequest
from jobs.kinds import KINDS
from jobs.kinds.kind import Kind
from jobs.lines import rebuild
from jobs.prices import Price
from jobs.store.jobs import OpenJob
from jobs.store.reports import Admission, Journal, Settlement, Unattempted
from jobs.tokens import most_tokens
from workers import conclusions
from workers.gate.gate import Ask, ComeBack, Grant, PoolId
from workers.open_slice import OpenSlice
from workers.permits import Withdrawn
from workers.purse import ROOM_S
from workers.retry import Fail, PausePool, Retry, RetryPolicy, next_step

LONGEST_REST_S = 20.0
"""A job waits this long within its slice's lease; for longer waits the slice is given back."""

RECONFIGURED_S = 30.0
"""Until a job is tried again whose model this worker's configuration does not serve."""


@dataclass(frozen=True, slots=True)
class _Call:
    """A job as a call: what is sent, to whom, at which price."""

    kind: Kind
    line: Any
    request: ModelRequest
    ask: Ask
    price: Price | None
    price_json: str | None
    reserved_nanos: int


@dataclass(frozen=True, slots=True)
class _Again:
    """The job is to be attempted again after a wait.

    `reason` is why everything on the pool waits with it; None if only this job does.
    """

    wait_s: float
    reason: str | None = None


class JobRun:
    """One job of an open slice."""

    def __init__(self, opened: OpenSlice, job: OpenJob) -> None:
        self._opened = opened
        self._parts = opened.parts
        self._job = job
        self._attempts = job.last_attempt
        self._counted = job.counted_attempts
        self._policy = RetryPolicy(max_attempts=opened.parts.settings.max_attempts)

    async def run(self) -> None:
        """Make attempts until the job has its result, or its slice is closing."""
        if self._counted >= self._policy.max_attempts:
            await self._decide("attempts_exhausted", "its attempts were used up without an answer")
            return
        try:
            call = self._prepare()
        except UnknownModel as error:
            # It was known when the job was accepted: this worker's configuration is another one.
            self._opened.close(wait_s=RECONFIGURED_S, reason=error.message)
            return
        except TidemillError as error:
            await self._decide("unrunnable", f"the job can't be run any more: {error}")
            return
        while not self._opened.is_closing:
            again = await self._attempt(call)
            if again is None:
                return
            if again.wait_s > LONGEST_REST_S:
                self._opened.close(wait_s=again.wait_s, reason=again.reason)
                return
            await self._opened.rest(again.wait_s)

    def _prepare(self) -> _Call:
        """Turn the stored line into a call; raises what the line or its model is refused for."""
        kind = KINDS[self._job.kind]
        line = rebuild(self._job.kind, self._job.request, self._opened.defaults)
        request = kind.request(line)
        target = self._parts.catalogue.resolve(line.model).targets[0]
        pool = self._parts.configuration.providers[target.provider].pools[0]
        price = self._parts.prices.price(target.provider, target.model, utcnow())
        return _Call(
            kind=kind,
            line=line,
            request=request,
            ask=Ask(
                pool=PoolId(target.provider, pool.name),
                model=target.model,
                input_tokens=self._job.estimated_tokens,
                max_output_tokens=request.max_tokens,
                priority=self._opened.lease.priority,
            ),
            price=price,
            price_json=None if price is None else price.to_json(),
            reserved_nanos=(
                0
                if price is None
                else price.worst_case_nanos(most_tokens(request), request.max_tokens)
            ),
        )

    async def _attempt(self, call: _Call) -> _Again | None:
        """Make one attempt if it may be made; None if the job needs no other from here."""
        in_flight = self._parts.in_flight
        purse = self._opened.purse
        if not purse.may_ask(call.reserved_nanos, asyncio.get_running_loop().time()):
            return _Again(ROOM_S)
        try:
            await in_flight.berths.acquire(self._opened)
        except Withdrawn:
            return None
        try:
            if self._opened.is_closing:
                return None
            grant = await self._parts.gate.ask(call.ask)
            if isinstance(grant, ComeBack):
                return _Again(grant.wait_s, grant.reason)
            if grant.wait_s > 0:
                await asyncio.sleep(grant.wait_s)
            journal = self._journal(call)
            admission = await self._parts.writer.journal(journal)
            if admission is not Admission.ADMITTED:
                await self._parts.gate.settle(grant, None)
                return self._refused(admission, call)
            purse.admitted()
            if self._attempts == self._job.last_attempt:
                self._opened.dispatched()
            self._attempts = journal.n
            async with in_flight.place():
                settlement, again = await self._call(call, journal, grant)
        finally:
            in_flight.berths.release()
        await self._parts.writer.settle(settlement)
        return again

    def _journal(self, call: _Call) -> Journal:
        return Journal(
            lease=self._opened.lease,
            seq=self._job.seq,
            n=self._attempts + 1,
            provider=call.ask.pool.provider,
            pool=call.ask.pool.pool,
            model=call.ask.model,
            price=call.price_json,
            reserved_nanos=call.reserved_nanos,
        )

    def _refused(self, admission: Admission, call: _Call) -> _Again | None:
        """Say what a refusal of the journal means for the job and its slice."""
        match admission:
            case Admission.NO_ROOM_YET:
                self._opened.purse.refused(call.reserved_nanos, asyncio.get_running_loop().time())
                return _Again(ROOM_S)
            case Admission.UNPRICED:
                # It had a price, or no budget, when the job was accepted.
                model = f"{call.ask.pool.provider}/{call.ask.model}"
                self._opened.close(wait_s=RECONFIGURED_S, reason=no_price(model))
            case Admission.LEASE_LOST:
                self._opened.lose_lease()
            case Admission.RESTING | Admission.ADMITTED:
                self._opened.close()
        return None

    async def _call(
        self, call: _Call, journal: Journal, grant: Grant
    ) -> tuple[Settlement, _Again | None]:
        """Call the provider; return how it ended and whether to try again."""
        if self._opened.is_closing:  # its place came free too late
            await self._parts.gate.settle(grant, None)
            return conclusions.unsent(journal), None
        loop = asyncio.get_running_loop()
        pool = call.ask.pool
        sent_at = loop.time()
        try:
            answer = await self._parts.caller.call(
                self._parts.configuration.providers[pool.provider],
                self._parts.keys.key(pool),
                call.ask.model,
                call.request,
            )
        except ProviderError as error:
            latency_ms = round((loop.time() - sent_at) * 1000)
            await self._parts.gate.settle(grant, None)
            step = next_step(error, self._counted, self._policy)
            again = await self._after(step, pool, error)
            settlement = conclusions.of_error(journal, error, latency_ms, is_final=again is None)
            return settlement, again
        latency_ms = round((loop.time() - sent_at) * 1000)
        await self._parts.gate.settle(grant, answer.usage)
        return conclusions.of_answer(
            journal, answer, call.price, call.kind, call.line, latency_ms
        ), None

    async def _after(
        self, step: Retry | PausePool | Fail, pool: PoolId, error: ProviderError
    ) -> _Again | None:
        """Do what the retry policy decided; None if the job has failed."""
        match step:
            case Retry(wait_s, counts):
                self._counted += counts
                return _Again(wait_s)
            case PausePool(wait_s):
                await self._parts.gate.pause(pool, wait_s, f"{error.code}: {error.message}")
                return _Again(wait_s, error.message)
            case Fail():
                return None

    async def _decide(self, code: str, message: str) -> None:
        """Give the job its result without another call."""
        result = conclusions.failure(code, message)
        await self._parts.writer.settle(Unattempted(self._opened.lease, self._job.seq, result))
