"""A live call as its job's run sees it: a slice of one job that nobody feeds, leases or takes over."""

from jobs.defaults import JobDefaults
from jobs.store.leases.leases import Lease
from workers.parts import Parts
from workers.slices.open_slice import OpenSlice


class OpenCall(OpenSlice):
    """See the module."""

    def __init__(self, parts: Parts, lease: Lease, defaults: JobDefaults) -> None:
        super().__init__(parts, lease, defaults, jobs=1)

    def dispatched(self) -> None:
        """Nothing waits for its turn behind a live call."""

    def ended(self) -> None:
        """Note that the call is over."""
        self.parts.vigil.leaves(self)

    def __str__(self) -> str:
        """Name the call for a log line."""
        return f"the live calls of {self.lease.batch_ref}"
