"""What a worker tells the store about attempts, before and after its calls; values only."""

from enum import StrEnum

import msgspec

from jobs.exchange import Usage
from jobs.states import Outcome, ResultStatus, is_bad_answer
from jobs.store.leases.leases import Lease


class Journal(msgspec.Struct, frozen=True):
    """An attempt that is about to be made. `price` is the snapshot's JSON, None if unknown.

    `native_id` and `live_price` are of a line of a native batch, as in `jobs.tables.Attempt`.
    """

    lease: Lease
    seq: int
    n: int
    provider: str
    pool: str
    model: str
    price: str | None
    reserved_nanos: int
    native_id: int | None = None
    live_price: str | None = None


class Admission(StrEnum):
    """What the journal said to an attempt."""

    ADMITTED = "admitted"
    NO_ROOM_YET = "no_room_yet"
    """No budget has room for the call now; what calls in flight leave over may be enough."""
    OVER_BUDGET = "over_budget"
    """The same of a live call, while no other is in flight that could leave something over."""
    RESTING = "resting"
    """The batch is paused, cancelled or out of budget: nothing of it may be sent."""
    UNPRICED = "unpriced"
    """There is a budget and nobody knows what the call may cost: it is not sent."""
    LEASE_LOST = "lease_lost"


class ResultDraft(msgspec.Struct, frozen=True):
    """The final answer of a job. `output` is JSON text; `mended` says what was put right in it."""

    status: ResultStatus
    output: str | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    source: str = "live"
    mended: str | None = None


class Unattempted(msgspec.Struct, frozen=True):
    """The result of a job that is decided without another call."""

    lease: Lease
    seq: int
    result: ResultDraft


class PartDraft(msgspec.Struct, frozen=True):
    """The output of a job's part, as JSON text; `no` counts from 0."""

    no: int
    output: str


class Settlement(msgspec.Struct, frozen=True):
    """How a journaled attempt ended, and the job's result if it decided that, or its part's output.

    `cost_nanos` is None where it is not known (no price, no usage).
    """

    journal: Journal
    outcome: Outcome
    usage: Usage | None = None
    cost_nanos: int | None = None
    latency_ms: int | None = None
    error_code: str | None = None
    result: ResultDraft | None = None
    part: PartDraft | None = None

    @property
    def is_bad(self) -> bool:
        """Whether it was answered, and the answer is not usable."""
        return is_bad_answer(self.outcome, self.error_code)


class Correction(msgspec.Struct, frozen=True):
    """What the provider's own account tells of an attempt of unknown use.

    `usage` is None where the provider billed nothing; `cost_nanos` is None then, and where no price
    is known.
    """

    seq: int
    n: int
    usage: Usage | None
    cost_nanos: int | None
