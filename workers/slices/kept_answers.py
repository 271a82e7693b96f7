"""What jobs of a slice need not ask: their answers are there already, and become their results.

It comes first when a slice is opened, so that only the others are read, and called for. A retry keeps
what the batch before it has; then any batch may take what others were answered, if it allows that.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

from jobs.defaults import JobDefaults
from jobs.store.batches.jobs import SliceRange
from jobs.store.batches.retried import earlier_jobs, retried, retried_before
from jobs.store.leases.leases import Lease
from jobs.store.results import kept
from jobs.store.results.kept import Keeping
from workers.job.recheck import Recheck
from workers.transactions import Transactions


async def take_kept(
    transactions: Transactions, lease: Lease, cut: SliceRange, defaults: JobDefaults
) -> None:
    """Answer whatever jobs of a leased slice can be answered without a call.

    Raises:
        LeaseLost: another worker has the slice.
    """
    if lease.retry_of is not None:
        await _keep(transactions, lease, await _keepings(transactions, lease, cut, defaults))
    age = defaults.reuse
    if age is not None:
        reusable = await transactions.read(
            lambda session: kept.reusable(session, lease, cut, age, takes_mended=defaults.repair)
        )
        await _keep(transactions, lease, reusable)


async def _keep(transactions: Transactions, lease: Lease, keepings: Sequence[Keeping]) -> None:
    """Keep what was found, if anything was: looking for it locks nothing."""
    if keepings:
        await transactions.write(
            lambda session: kept.keep(session, lease, keepings), about=lease.batch_ref
        )


async def _keepings(
    transactions: Transactions, lease: Lease, cut: SliceRange, defaults: JobDefaults
) -> list[Keeping]:
    """Return what the jobs of a retry get from the batch before it.

    If that is a retry too, and was cancelled or ran out of time before it came to some of them, these
    get what the one before that has.
    """
    before = await transactions.read(lambda session: retried(session, lease))
    seqs: frozenset[int] | None = None
    keepings: list[Keeping] = []
    while True:
        recheck = Recheck.of(before, defaults)
        jobs = await transactions.read(
            partial(
                earlier_jobs,
                lease=lease,
                cut=cut,
                batch_id=before.batch_id,
                with_texts=recheck.is_needed,
                among=seqs,
            )
        )
        # A slice of long translations takes its time, and calls of others are waiting.
        keepings += await asyncio.to_thread(list, recheck.keepings(jobs))
        seqs = frozenset(job.seq for job in jobs if recheck.is_undecided(job))
        if not seqs or before.retry_of is None:
            break
        before = await transactions.read(partial(retried_before, ref=before.retry_of))
    return keepings
