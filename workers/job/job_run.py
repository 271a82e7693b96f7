"""The way of one job: choose a target, ask the gate, journal, call, settle.

A job enters with a berth (`in_flight`) and waits at the gate with it, but what has to wait there for
more than a moment lends its berth. Else a thousand jobs of a slow pool would hold all of them, and
the jobs of every other provider, or a person's single call, would stand behind those in a queue that
knows neither pools nor priorities. So every job of an open slice gets to the gate within a moment,
and the gate alone decides who goes first. How many wait there is bounded by the feed's window.

The berth is asked back shortly before the call may leave, and only then is the attempt journaled: a
journaled attempt that was not sent counts as unknown if the process dies. If all berths are in use
by calls, the start is given back and the job goes to the end of the queue for a berth: then calls in
flight are what is scarce, and not pace.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Literal, assert_never

import msgspec

from jobs.budget import no_price
from jobs.clock import utcnow
from jobs.errors import (
    CallBrokeDown,
    InvalidSubmission,
    Overloaded,
    RateLimited,
    TidemillError,
    UnknownModel,
)
from jobs.kinds import KINDS
from jobs.lines import rebuild
from jobs.prices import Price
from jobs.routing import Target
from jobs.states import Outcome
from jobs.store.attempts.reports import Admission, Journal, Settlement, Unattempted
from jobs.store.batches.jobs import OpenJob
from workers.calls.sent_call import Failure, SentCall
from workers.gate.gate import Ending, Grant, PoolId
from workers.job import conclusions
from workers.job.detour import Patience
from workers.job.dialogue import Dialogue, Policy
from workers.job.next_step import AskAgain, Fail, Retry, RetryPolicy, is_doubtful, next_step
from workers.job.overloads import Overloads
from workers.job.purse import ROOM_S
from workers.job.start_search import Again, StartSearch, Work
from workers.job.suspicion import is_poison
from workers.job.traced import traced
from workers.slices.open_slice import OpenSlice
from workers.slices.permits import Withdrawn

log = logging.getLogger(__name__)

RECONFIGURED_S = 30.0
"""Until a job is tried again whose model this worker's configuration does not serve, or which an older
worker can't read."""

JOURNAL_AHEAD_S = 0.1
"""So long before its start a call is journaled: a flush takes 20 to 100 ms. A call whose flush took
longer leaves late, which can't break a limit."""

TOLD_S = 0.1
"""Until the gate is asked again after a failure: by then it knows of it."""

REFUSED_S = 1.0
"""The same after a rate limit that says nothing of a wait: the gate may take it for a stray one, and hold
nobody up for it."""

UNRUNNABLE = "unrunnable"
"""Code of a job that was accepted, and of which no call can be made any more."""

_Refusal = Literal[
    Admission.NO_ROOM_YET,
    Admission.OVER_BUDGET,
    Admission.RESTING,
    Admission.UNPRICED,
    Admission.LEASE_LOST,
]


@dataclass(frozen=True, slots=True)
class _Tariff:
    """What a call to the granted target may cost."""

    price: Price | None
    price_json: str | None
    reserved_nanos: int


class JobRun:
    """One job of an open slice."""

    def __init__(self, opened: OpenSlice, job: OpenJob) -> None:
        self._opened = opened
        self._parts = opened.parts
        self._job = job
        self._attempts = job.last_attempt
        self._counted = job.counted_attempts
        self._policy = RetryPolicy(max_attempts=opened.parts.settings.max_attempts)
        self._overloads = Overloads()
        self._is_at_fault = False
        """Whether an attempt for this part has failed while other calls of its pool were answered."""
        self._search = StartSearch(opened, job)

    async def run(self) -> None:
        """Make attempts until the job has its result, is left for later, or its slice is closing."""
        if is_poison(self._job):
            await self._decide(
                "kills_workers",
                f"{self._job.lost_workers} workers died while they made the call for this job",
            )
            return
        if self._counted >= self._policy.max_attempts:
            await self._decide("attempts_exhausted", "its attempts were used up without an answer")
            return
        work = await self._prepared()
        while work is not None and not self._opened.is_closing:
            again = await self._attempt(work)
            if again is None:
                return
            if again.wait_s > 0:
                await self._opened.rest(again.wait_s)

    async def _prepared(self) -> Work | None:
        """Return the call to make; None if there is none, and the job is dealt with."""
        try:
            return await self._parts.planning.run(self._prepare, len(self._job.request))
        except UnknownModel as error:
            # It was known when the job was accepted: this worker's configuration is another one.
            self._opened.park(RECONFIGURED_S, error.message)
        except InvalidSubmission as error:
            # It was valid when it was accepted: by a newer version, whose workers can run it.
            self._opened.park(RECONFIGURED_S, str(error))
        except TidemillError as error:
            await self._decide(UNRUNNABLE, f"the job can't be run any more: {error}")
        except Exception:
            log.exception("a job of %s can't be prepared", self._opened)
            await self._decide(
                UNRUNNABLE, "the job can't be turned into a call; the worker's log says why"
            )
        return None

    def _prepare(self) -> Work | None:
        """Turn the stored line into a call; raises what the line or its model is refused for.

        None if that came too late to be of use. What it reads doesn't change: it may run in a thread.
        """
        if self._opened.is_closing:
            return None
        kind = KINDS.get(self._job.kind)
        if kind is None:
            raise InvalidSubmission(f"this version of the worker knows no {self._job.kind} jobs")
        line = rebuild(self._job.kind, self._job.request, self._opened.defaults)
        resolved = self._parts.catalogue.resolve(line.model)
        own_s = self._opened.defaults.failover_after_s
        dialogue = Dialogue(
            kind.plan(line),
            Policy.of(self._opened.defaults),
            resolved.order(self._opened.lease.batch_id, self._job.seq),
            estimated_tokens=self._job.estimated_tokens,
            max_image_tokens=self._parts.configuration.max_image_tokens,
            kept=[msgspec.json.decode(output) for output in self._job.parts],
            bad_answers=self._job.bad_answers,
        )
        return Work(dialogue, Patience(resolved.failover_after_s if own_s is None else own_s))

    async def _attempt(self, work: Work) -> Again | None:
        """Make one attempt if it may be made; None if the job needs no other from here."""
        purse = self._opened.purse
        if purse.is_short and not purse.may_ask(
            self._tariff(work, work.dialogue.targets[0]).reserved_nanos,
            asyncio.get_running_loop().time(),
        ):
            return Again(ROOM_S)
        berths = self._parts.in_flight.berths
        try:
            await berths.acquire(self._opened, self._opened.weight)
        except Withdrawn:
            return None
        berths.idle(self)
        try:
            granted = await self._search.run(work)
            if not isinstance(granted, Grant):
                return granted
            ended = await self._use(work, granted)
        finally:
            berths.leave(self)
            self._search.over()
        match ended:
            case Unattempted():
                await self._parts.writer.settle(ended)
                return None
            case Settlement():
                if ended.part is not None:
                    self._forget_faults()
                is_answered = ended.outcome is Outcome.SUCCEEDED
                asks_on = is_answered and ended.result is None
                return await self._settled(ended, Again(0) if asks_on else None)
            case Failure():
                return await self._settled(*await self._judged(ended))
            case _:
                return ended

    def _forget_faults(self) -> None:
        """Begin a part with a clean sheet: one that was answered speaks for the job."""
        self._counted, self._is_at_fault, self._overloads = 0, False, Overloads()

    async def _settled(self, settlement: Settlement, again: Again | None) -> Again | None:
        """Store how an attempt ended; return whether another one follows."""
        answered_ns = time.time_ns()
        try:
            await self._parts.writer.settle(settlement)
        except Exception:  # noqa: BLE001  (the writer has logged it)
            # Tried again, such a call would be paid for again, and its end as little stored.
            await self._parts.writer.settle(conclusions.unstorable(settlement.journal))
            return None
        if (tracing := self._parts.tracing) is not None:
            tracing.settled(self._opened.lease.batch_ref, traced(settlement), answered_ns)
        return again

    async def _use(
        self, work: Work, grant: Grant
    ) -> Settlement | Unattempted | Failure | Again | None:
        """Make the call that was granted, if it may still be made.

        Returns:
            What came of it; or whether to go on, if nothing was sent.
        """
        ending = Ending(sent=False)
        try:
            self._search.found()
            loop = asyncio.get_running_loop()
            if (wait_s := grant.start_at - JOURNAL_AHEAD_S - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if self._opened.is_closing:
                return None
            if not self._parts.in_flight.berths.recall(self):
                return Again(0)
            tariff = self._tariff(work, Target(grant.pool.provider, grant.ask.model))
            journal = self._journal(grant, tariff)
            admission = await self._admission(journal)
            if admission is not Admission.ADMITTED:
                return self._refused(admission, journal)
            self._search.used()
            self._opened.purse.admitted()
            if self._attempts == self._job.last_attempt:
                self._opened.dispatched()
            self._attempts = journal.n
            if (wait_s := grant.start_at - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            async with self._parts.in_flight:
                if self._opened.is_closing:
                    return conclusions.unsent(journal)
                ending = Ending(sent=True, cut_off=True)  # if the call is cancelled
                call = SentCall(
                    *(self._opened, work.dialogue, tariff.price, journal, grant),
                    is_at_fault=self._is_at_fault,
                    is_alone=self._overloads.are_its_own,
                )
                ending, ended = await call.make()
                return ended
        finally:
            self._parts.gate.settle(grant, ending)

    def _tariff(self, work: Work, target: Target) -> _Tariff:
        price = self._parts.prices.price(target.provider, target.model, utcnow())
        if price is None:
            return _Tariff(None, None, 0)
        asked = work.dialogue
        worst = price.worst_case_nanos(asked.most_input_tokens, asked.request.most_output_tokens)
        return _Tariff(price, price.to_json(), worst)

    def _journal(self, grant: Grant, tariff: _Tariff) -> Journal:
        return Journal(
            lease=self._opened.lease,
            seq=self._job.seq,
            n=self._attempts + 1,
            provider=grant.pool.provider,
            pool=grant.pool.pool,
            model=grant.ask.model,
            price=tariff.price_json,
            reserved_nanos=tariff.reserved_nanos,
        )

    async def _admission(self, wish: Journal) -> Admission | None:
        """Journal an attempt; None if the database will never take it."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            admission = await self._parts.writer.journal(wish)
        except Exception:  # noqa: BLE001  (the writer has logged it)
            return None
        self._parts.in_flight.journaled(loop.time() - asked_at)
        return admission

    def _refused(self, admission: _Refusal | None, wish: Journal) -> Unattempted | Again | None:
        """Say what a refusal of the journal means for the job and its slice."""
        match admission:
            case None:
                return self._unattempted(
                    conclusions.UNSTORABLE, "its call can't be noted; the worker's log says why"
                )
            case Admission.NO_ROOM_YET:
                now_s = asyncio.get_running_loop().time()
                self._opened.purse.refused(wish.reserved_nanos, now_s)
                return Again(ROOM_S)
            case Admission.OVER_BUDGET:
                self._opened.park(ROOM_S, "no budget has room for the call")
            case Admission.UNPRICED:
                # It had a price, or no budget, when the job was accepted.
                self._opened.park(RECONFIGURED_S, no_price(f"{wish.provider}/{wish.model}"))
            case Admission.LEASE_LOST:
                self._opened.lose_lease()
            case Admission.RESTING:
                self._opened.close()
            case _:
                assert_never(admission)
        return None

    async def _judged(self, failure: Failure) -> tuple[Settlement, Again | None]:
        """Find out whether the job is to blame, and do what the retry policy decides."""
        journal, error = failure.journal, failure.error
        if isinstance(error, Overloaded):
            pool = PoolId(journal.provider, journal.pool)
            self._overloads.note(pool, self._parts.blame.overloaded(pool))
        is_ours = isinstance(error, CallBrokeDown)
        is_blameless = failure.is_probe and not is_ours
        if is_doubtful(error) and not (is_ours or failure.is_probe or self._is_at_fault):
            pool = PoolId(journal.provider, journal.pool)
            job = (journal.lease.batch_id, journal.seq)
            verdict = await self._parts.blame.is_jobs(job, pool)
            self._is_at_fault, is_blameless = verdict is True, verdict is False
        latency_ms = round(failure.latency_s * 1000)
        match next_step(error, self._counted, self._policy, is_blameless=is_blameless):
            case Retry(wait_s):
                self._counted += 1
                return conclusions.of_error(journal, error, latency_ms), Again(wait_s)
            case AskAgain():
                settlement = conclusions.of_error(journal, error, latency_ms, counts=False)
                may_be_stray = isinstance(error, RateLimited) and error.wait_s is None
                return settlement, Again(REFUSED_S if may_be_stray else TOLD_S)
            case Fail():
                return conclusions.of_error(journal, error, latency_ms, is_final=True), None

    async def _decide(self, code: str, message: str) -> None:
        """Give the job its result without another call."""
        await self._parts.writer.settle(self._unattempted(code, message))

    def _unattempted(self, code: str, message: str) -> Unattempted:
        result = conclusions.failure(code, message)
        return Unattempted(self._opened.lease, self._job.seq, result)
