"""Reading the results of a native batch into the books: each line that is one of its own, once."""

import asyncio
import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from jobs.defaults import JobDefaults
from jobs.errors import MalformedReply, ProviderError
from jobs.exchange import Answer
from jobs.kinds.kind import Bad
from jobs.lanes import is_surely_unsent, line_of
from jobs.prices import Price
from jobs.routing import Target
from jobs.states import OUTAGE, Outcome
from jobs.store.attempts.reports import Settlement
from jobs.store.batches.jobs import OpenJob
from jobs.store.native import native, native_books, native_slices
from jobs.store.native.native import Native
from jobs.store.native.native_slices import HeldSlice, SentLine, held_slices, sent_lines
from jobs.store.results.answers import BATCH
from workers.job import conclusions
from workers.job.dialogue import Anew
from workers.job.next_step import Fail, RetryPolicy, next_step
from workers.lanes.lanes import BatchApi, Lanes
from workers.lanes.plans import Planner
from workers.lanes.wire import End, NativeLine, Remote
from workers.parts import Parts

log = logging.getLogger(__name__)

LINES_TOGETHER = 500
"""Results that are judged and settled together."""

UNJUDGED = Bad("unrunnable", "the job can't be turned into a call any more")


@dataclass(slots=True)
class _Read:
    """What was read of a native batch's results: its own lines, and how many of those were run."""

    seen: set[tuple[int, int]]
    ran: int = 0


class Ingest:
    """One process's reading of results."""

    def __init__(self, parts: Parts, lanes: Lanes) -> None:
        self._parts = parts
        self._lanes = lanes

    async def take_in(self, of: Native, api: BatchApi, remote: Remote) -> None:
        """Settle whatever the results of an ended native batch hold, then let go of its slices.

        Done twice, what is settled stays as it is.

        Raises:
            ProviderError: they can't be fetched, or broke off: to be done again.
            LeaseLost: somebody else has claimed it since.
        """
        transactions = self._parts.transactions
        every = await transactions.read(lambda s: held_slices(s, of))
        await transactions.write(
            lambda s: native.write(s, of, answered=0, unexpected=0), about=of.batch_ref
        )
        read = _Read(set())
        key = self._lanes.key(of.group.provider, of.group.pool)
        async for lines in _chunks(api.wire.results(key, remote)):
            await self._settle(of, every, lines, read)
        ran_out = remote.end is not End.COMPLETED
        if is_surely_unsent(ran_out=ran_out, done=remote.done, read=read.ran):
            await self.give_up_lines(of, every)
        await self.release(of, every)

    async def give_up_lines(self, of: Native, every: Sequence[HeldSlice]) -> None:
        """Settle lines without an end as never sent: they were not run, and nothing is billed for them."""
        transactions = self._parts.transactions
        for held in every:
            if held.is_held:
                sent = await transactions.read(
                    lambda s, held=held: sent_lines(s, of, held)  # type: ignore[misc]  # one parameter
                )
                ends = [
                    Settlement(line.journal, Outcome.UNSENT)
                    for line in sent
                    if line.outcome is None
                ]
                if ends:
                    await transactions.write(
                        lambda s, ends=ends: native_books.settle(s, of, ends),  # type: ignore[misc]
                        about=of.batch_ref,
                    )

    async def release(self, of: Native, every: Sequence[HeldSlice]) -> None:
        """Let go of slices: what is answered is done, the rest runs live; open lines become unknown."""
        for held in every:
            if held.is_held:
                await self._parts.transactions.write(
                    lambda s, held=held: native_slices.release(  # type: ignore[misc]  # as above
                        s, of, [held], error_code=OUTAGE
                    ),
                    about=of.batch_ref,
                )
                self._parts.feed.drained(held.lease)  # there may be room, or more to feed

    async def _settle(
        self, of: Native, every: Sequence[HeldSlice], lines: Sequence[NativeLine], read: _Read
    ) -> None:
        """Settle some lines of results; those that are nobody's, or come again, are only counted."""
        wanted: dict[int, dict[tuple[int, int], NativeLine]] = defaultdict(dict)
        firsts = [held.cut.first_seq for held in every]
        unexpected = 0
        for line in lines:
            name = line_of(of.ref, line.custom_id)
            place = -1 if name is None else bisect_right(firsts, name[0]) - 1
            if name is None or name in read.seen or place < 0:
                unexpected += 1
                log.warning("%s has a result that is not expected: %.80r", of.ref, line.custom_id)
                continue
            read.seen.add(name)
            wanted[place][name] = line
        ends: list[Settlement] = []
        known = 0
        for place, by_name in wanted.items():
            held, seqs = every[place], {seq for seq, _ in by_name}
            sent = await self._parts.transactions.read(
                lambda s, held=held, seqs=seqs: sent_lines(s, of, held, seqs)  # type: ignore[misc]
            )
            ours = {(line.journal.seq, line.journal.n): line for line in sent}
            for name in by_name.keys() - ours.keys():
                unexpected += 1
                read.seen.discard(name)
                log.warning("%s has a result for no line of its own: %r", of.ref, name)
            known += len(ours.keys() & by_name.keys())
            pairs = [(ours[name], line) for name, line in by_name.items() if name in ours]
            read.ran += sum(line.end is not None for _, line in pairs)
            ends += await asyncio.to_thread(self._judged, of, pairs)
        await self._parts.transactions.write(
            lambda s: native_books.settle(s, of, ends, answered=known, unexpected=unexpected),
            about=of.batch_ref,
        )

    def _judged(self, of: Native, pairs: Sequence[tuple[SentLine, NativeLine]]) -> list[Settlement]:
        planner = Planner(self._parts, self._lanes, of.batch_id, JobDefaults.from_json(of.defaults))
        policy = RetryPolicy(max_attempts=self._parts.settings.max_attempts)
        return [_settlement(planner, policy, sent, line.end) for sent, line in pairs]


def _settlement(
    planner: Planner, policy: RetryPolicy, sent: SentLine, end: Answer | ProviderError | None
) -> Settlement:
    """Return how a line ended, by the same rules as a live call; what is not final is done live."""
    journal = sent.journal
    match end:
        case None:
            return Settlement(journal, Outcome.UNSENT)
        case Answer():
            settlement = _of_answer(planner, sent, end)
        case _:
            is_final = isinstance(next_step(end, 0, policy), Fail)
            settlement = conclusions.of_error(journal, end, 0, is_final=is_final)
            if settlement.outcome is Outcome.UNKNOWN and not isinstance(end, MalformedReply):
                # The provider tells that it failed, and bills what has succeeded only.
                settlement = msgspec.structs.replace(
                    settlement, outcome=Outcome.FAILED, cost_nanos=None
                )
    result = settlement.result
    if result is not None:
        result = msgspec.structs.replace(result, source=BATCH)
    # How long its own answer took nobody tells.
    return msgspec.structs.replace(settlement, result=result, latency_ms=None)


def _of_answer(planner: Planner, sent: SentLine, answer: Answer) -> Settlement:
    journal = sent.journal
    price = None if journal.price is None else Price.from_json(journal.price)
    job = OpenJob(
        journal.seq,
        sent.kind,
        sent.request,
        sent.estimated_tokens,
        last_attempt=journal.n,
        counted_attempts=0,
    )
    plan = planner.plan(job)
    heard = (
        Anew(UNJUDGED)
        if plan is None
        else plan.dialogue.hear(answer, Target(journal.provider, journal.model))
    )
    return conclusions.of_answer(journal, answer, price, heard, 0)


async def _chunks(lines: AsyncIterator[NativeLine]) -> AsyncIterator[list[NativeLine]]:
    some: list[NativeLine] = []
    async for line in lines:
        some.append(line)
        if len(some) >= LINES_TOGETHER:
            yield some
            some = []
    if some:
        yield some
