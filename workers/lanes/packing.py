"""Packing: the lines of a native batch are journaled, at the lane's price, and written to a file.

The file lives as long as the step. Killed in between, the next one writes it anew from the rows: lines
that are journaled keep their names, the others are journaled then.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from jobs.defaults import JobDefaults
from jobs.errors import ProviderError
from jobs.lanes import custom_id
from jobs.store.attempts.reports import Admission, Journal
from jobs.store.batches.jobs import OpenJob, open_jobs
from jobs.store.native import native_books
from jobs.store.native.native import Native
from jobs.store.native.native_books import NotAdmitted
from jobs.store.native.native_slices import HeldSlice, SentLine, held_slices, sent_lines
from workers.lanes.lanes import Lanes
from workers.lanes.plans import LanePlan, Planner, prices_of
from workers.parts import Parts
from workers.slices.kept_answers import take_kept

log = logging.getLogger(__name__)

LINES_TOGETHER = 1000
"""Lines that are journaled in one transaction: it holds the batch's lock for some 30 ms."""


@dataclass(slots=True)
class Packed:
    """What became of a native batch's slices.

    Attributes:
        spool: the lines.
        lines: how many there are.
        size_bytes: how large they are.
        unfit: slices that can't be lines any more; they run live.
        refused: slices that may not be sent now, all for the same reason or for several.
        admission: the last such reason.
    """

    spool: Path
    lines: int = 0
    size_bytes: int = 0
    unfit: list[HeldSlice] = field(default_factory=list)
    refused: list[HeldSlice] = field(default_factory=list)
    admission: Admission = Admission.ADMITTED


class Packing:
    """One process's packing."""

    def __init__(self, parts: Parts, lanes: Lanes) -> None:
        self._parts = parts
        self._lanes = lanes

    @asynccontextmanager
    async def pack(self, of: Native) -> AsyncIterator[Packed]:
        """Yield a native batch's lines, journaled and in a file that is there meanwhile.

        Raises:
            LeaseLost: somebody else has claimed it since.
        """
        folder = self._parts.settings.spool_folder()
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder, prefix=f"{of.ref}-", suffix=".jsonl") as file:
            packed = Packed(Path(file.name))
            await self._fill(of, packed, file)
            await asyncio.to_thread(file.flush)
            yield packed

    async def _fill(self, of: Native, packed: Packed, file: IO[bytes]) -> None:
        defaults = JobDefaults.from_json(of.defaults)
        planner = Planner(self._parts, self._lanes, of.batch_id, defaults)
        every = await self._parts.transactions.read(lambda s: held_slices(s, of))
        for some in _together([held for held in every if held.is_held]):
            ready: list[tuple[HeldSlice, list[tuple[Journal, LanePlan]]]] = []
            for held in some:
                lines = await self._lines(of, held, planner, defaults)
                if lines is None:
                    packed.unfit.append(held)
                else:
                    ready.append((held, lines))
            for held, lines in await self._journaled(of, packed, ready):
                size_bytes = await asyncio.to_thread(_write, file, of.ref, lines)
                if size_bytes is None:
                    packed.unfit.append(held)
                else:
                    packed.lines += len(lines)
                    packed.size_bytes += size_bytes

    async def _lines(
        self, of: Native, held: HeldSlice, planner: Planner, defaults: JobDefaults
    ) -> list[tuple[Journal, LanePlan]] | None:
        """Return the lines of a slice, journaled or not; None if it can't be packed any more."""
        transactions = self._parts.transactions
        await take_kept(transactions, held.lease, held.cut, defaults)
        jobs = await transactions.read(
            lambda s: open_jobs(s, of.batch_id, held.cut, is_first_lease=False)
        )
        sent = await transactions.read(lambda s: sent_lines(s, of, held))
        known = {line.journal.seq: line for line in sent if line.outcome is None}
        return await asyncio.to_thread(self._planned, of, held, planner, jobs, known)

    def _planned(
        self,
        of: Native,
        held: HeldSlice,
        planner: Planner,
        jobs: Sequence[OpenJob],
        known: dict[int, SentLine],
    ) -> list[tuple[Journal, LanePlan]] | None:
        lines = []
        for job in jobs:
            plan = planner.plan(job)
            if plan is None or (plan.target.provider, plan.endpoint) != (
                of.group.provider,
                of.group.endpoint,
            ):
                return None
            if plan.api.wire.shape.is_single_model and plan.target.model != of.group.model:
                return None
            line = known.get(job.seq)
            journal = self._journal(of, held, job, plan) if line is None else line.journal
            lines.append((journal, plan))
        return lines

    def _journal(self, of: Native, held: HeldSlice, job: OpenJob, plan: LanePlan) -> Journal:
        prices = prices_of(self._parts, plan.target)
        reserved_nanos = 0
        if prices.batch is not None:
            asked = plan.dialogue
            reserved_nanos = prices.batch.worst_case_nanos(
                asked.most_input_tokens, asked.request.most_output_tokens
            )
        return Journal(
            lease=held.lease,
            seq=job.seq,
            n=job.last_attempt + 1,
            provider=of.group.provider,
            pool=of.group.pool,
            model=plan.target.model,
            price=None if prices.batch is None else prices.batch.to_json(),
            reserved_nanos=reserved_nanos,
            native_id=of.id,
            live_price=None if prices.live is None else prices.live.to_json(),
        )

    async def _journaled(
        self,
        of: Native,
        packed: Packed,
        ready: Sequence[tuple[HeldSlice, list[tuple[Journal, LanePlan]]]],
    ) -> list[tuple[HeldSlice, list[tuple[Journal, LanePlan]]]]:
        """Journal slices together, or if that is refused one by one; return those that may be sent."""
        if not ready:
            return []
        journals = [journal for _, lines in ready for journal, _ in lines]
        try:
            if journals:
                await self._parts.transactions.write(
                    lambda s: native_books.journal(s, of, journals), about=of.batch_ref
                )
        except NotAdmitted as refused:
            if len(ready) == 1:
                packed.refused.append(ready[0][0])
                packed.admission = refused.admission
                return []
            return [each for one in ready for each in await self._journaled(of, packed, [one])]
        return list(ready)


def _together(held: Sequence[HeldSlice]) -> Iterator[list[HeldSlice]]:
    some: list[HeldSlice] = []
    jobs = 0
    for piece in held:
        some.append(piece)
        jobs += piece.cut.jobs
        if jobs >= LINES_TOGETHER:
            yield some
            some, jobs = [], 0
    if some:
        yield some


def _write(file: IO[bytes], ref: str, lines: Sequence[tuple[Journal, LanePlan]]) -> int | None:
    """Write lines; return how large they are, or None if one can't be, as it could when it was shared out."""
    try:
        text = b"".join(
            plan.line(custom_id(ref, journal.seq, journal.n)) + b"\n" for journal, plan in lines
        )
    except (ProviderError, RecursionError):
        return None
    file.write(text)
    return len(text)
