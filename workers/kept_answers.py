"""What jobs of a slice need not ask: their answers are there already, and become their results.

It comes first when a slice is opened, so that only the others are read, and called for.
"""

from jobs.defaults import JobDefaults
from jobs.store import kept
from jobs.store.jobs import SliceRange
from jobs.store.slices import Lease
from workers.transactions import Transactions


async def take_kept(
    transactions: Transactions, lease: Lease, cut: SliceRange, defaults: JobDefaults
) -> None:
    """Answer whatever jobs of a leased slice can be answered without a call.

    Raises:
        LeaseLost: another worker has the slice.
    """
    age = defaults.reuse
    if age is not None:
        await transactions.write(
            lambda session: kept.reuse(session, lease, cut, age, takes_mended=defaults.repair),
            about=lease.batch_ref,
        )
