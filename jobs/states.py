"""The words for where things stand: batches, slices, attempts and results, and who may follow whom."""

from enum import StrEnum


class BatchState(StrEnum):
    """Where a batch stands; the public words of the HTTP interface."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class PauseCause(StrEnum):
    """Why a batch is paused: its owner asked for it, or a budget has no room for its next call.

    The three budgets are in the order in which they are told: the longest wait first.
    """

    OWNER = "owner"
    BATCH_BUDGET = "batch_budget"
    MONTHLY_BUDGET = "monthly_budget"
    DAILY_BUDGET = "daily_budget"


class FileContent(StrEnum):
    """What a file of the OpenAI surface holds."""

    UPLOAD = "upload"
    ANSWERS = "answers"
    """The results of a batch that are answers."""
    ERRORS = "errors"
    """Its other results."""


class FileBatchState(StrEnum):
    """Where a batch of the OpenAI surface stands before it is one; from `accepted` on see the batch."""

    VALIDATING = "validating"
    ACCEPTED = "accepted"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SliceState(StrEnum):
    """Where a slice stands.

    `fed` has a message with the broker, `leased` has a worker and jobs to dispatch, `draining` has a
    worker and only calls in flight.
    """

    WAITING = "waiting"
    FED = "fed"
    LEASED = "leased"
    DRAINING = "draining"
    DONE = "done"


class LaneWish(StrEnum):
    """How a batch's calls may reach their providers.

    `live`: one by one. `batch`: through the providers' own batch APIs, where they can. `auto`: so where it
    is cheaper and there is time for it.
    """

    LIVE = "live"
    AUTO = "auto"
    BATCH = "batch"


class NativeState(StrEnum):
    """Where a native batch stands: one at a provider, made of slices of one of ours.

    `packing` has its slices and is not sent. `sending`: its create may have left, and what became of it is
    to be found out. `running` and `cancelling` are the provider's. `ingesting`: it has ended there, and its
    results are read. `lost`: its slices are run elsewhere, and it is looked for, or after, until it can bill
    nothing more; what it billed is booked. `ended`: nothing more is to be done.
    """

    PACKING = "packing"
    SENDING = "sending"
    RUNNING = "running"
    CANCELLING = "cancelling"
    INGESTING = "ingesting"
    LOST = "lost"
    ENDED = "ended"


class Outcome(StrEnum):
    """How an attempt ended.

    `limited` and `unsent` do not count against a job's attempts: the provider did no work for them.
    `unknown` was sent and its answer was lost; it stays charged at its worst case.
    """

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    FAILED = "failed"
    LIMITED = "limited"
    UNSENT = "unsent"
    UNKNOWN = "unknown"


class ResultStatus(StrEnum):
    """The one final answer of a job."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Priority(StrEnum):
    """How a batch shares a queue with others; the weight is in `WEIGHTS`."""

    BULK = "bulk"
    NORMAL = "normal"
    HIGH = "high"
    INTERACTIVE = "interactive"


WEIGHTS: dict[Priority, int] = {
    Priority.BULK: 1,
    Priority.NORMAL: 4,
    Priority.HIGH: 16,
    Priority.INTERACTIVE: 64,
}
"""Slices that a batch of this priority is fed for each one of a bulk batch on the same queue."""

FINAL_BATCH_STATES = frozenset(
    {BatchState.COMPLETED, BatchState.FAILED, BatchState.CANCELLED, BatchState.EXPIRED}
)

FED_BATCH_STATES = frozenset({BatchState.QUEUED, BatchState.RUNNING})
"""A batch in one of these has its slices fed and its calls sent; in any other it has not."""

BUDGET_CAUSES = frozenset(PauseCause) - {PauseCause.OWNER}
"""A batch that one of these has paused goes on by itself; nobody but its owner ends his own pause."""

COUNTED_OUTCOMES = frozenset({Outcome.REJECTED, Outcome.FAILED, Outcome.UNKNOWN})
"""Outcomes that use up one of a job's attempts, unless their error is one of `BLAMELESS`. An answer
doesn't: a bad one is a matter of the batch's policy."""

USAGE_MISSING = "usage_missing"
"""Error code of an attempt whose answer is good and whose cost is a guess."""


def is_bad_answer(outcome: Outcome, error_code: str | None) -> bool:
    """Return whether a call was answered, and the answer was not usable."""
    return outcome is Outcome.SUCCEEDED and error_code not in {None, USAGE_MISSING}


OUTAGE = "outage"
"""Error code of an attempt that the provider's trouble cut off."""

CUT_OFF = "cut_off"
"""Error code of an attempt that was in flight when its worker had to stop."""

WORKER_LOST = "worker_lost"
"""Error code of an attempt that was in flight when its worker was lost: killed, or the job killed it."""

BLAMELESS = frozenset({OUTAGE, CUT_OFF, WORKER_LOST})
"""Error codes of attempts whose answer was lost, and the job not to blame: they count for nothing. Of
a job that loses worker after worker, see `workers.job.suspicion`."""

BILLED_OUTCOMES = frozenset({Outcome.SUCCEEDED, Outcome.UNKNOWN})
"""Outcomes of calls that the provider bills, or may."""

FREE_OUTCOMES = frozenset(Outcome) - BILLED_OUTCOMES
"""Outcomes of calls for which it took no money. A word of a newer version's is in neither."""

TRANSITIONS: dict[BatchState, frozenset[BatchState]] = {
    BatchState.RECEIVING: frozenset({BatchState.QUEUED}),
    BatchState.QUEUED: frozenset(
        {BatchState.RUNNING, BatchState.PAUSED, BatchState.CANCELLING, BatchState.FINALIZING}
    ),
    BatchState.RUNNING: frozenset(
        {BatchState.PAUSED, BatchState.CANCELLING, BatchState.FINALIZING, BatchState.COMPLETED}
    ),
    BatchState.PAUSED: frozenset(
        {BatchState.RUNNING, BatchState.CANCELLING, BatchState.FINALIZING, BatchState.COMPLETED}
    ),
    BatchState.CANCELLING: frozenset({BatchState.CANCELLED}),
    BatchState.FINALIZING: frozenset({BatchState.EXPIRED, BatchState.COMPLETED}),
    BatchState.COMPLETED: frozenset(),
    BatchState.CANCELLED: frozenset(),
    BatchState.EXPIRED: frozenset(),
}
"""Who may follow whom. A batch is `finalizing` from a deadline after which nothing of it is to be run,
until its calls in flight have ended; other batches are finalised in one transaction. `failed` is a word
of the interface that nothing leads to yet."""


def sources(target: BatchState) -> frozenset[BatchState]:
    """Return the states from which a batch may move to `target`: the guard of every guarded write."""
    return frozenset(state for state, targets in TRANSITIONS.items() if target in targets)


class RunState(StrEnum):
    """Where a run of a pipeline stands.

    `waiting` has not had its turn, `running` reads rows or has jobs, `delivering` writes its sinks. `skipped`
    was due while an earlier one went on.
    """

    WAITING = "waiting"
    RUNNING = "running"
    DELIVERING = "delivering"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


FINAL_RUN_STATES = frozenset(
    {RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED}
)

RUN_TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.WAITING: frozenset({RunState.RUNNING, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.DELIVERING, RunState.FAILED, RunState.CANCELLED}),
    RunState.DELIVERING: frozenset({RunState.COMPLETED, RunState.FAILED, RunState.CANCELLED}),
    # A retry takes up what has ended where it ended.
    RunState.COMPLETED: frozenset({RunState.RUNNING}),
    RunState.FAILED: frozenset({RunState.RUNNING}),
    RunState.CANCELLED: frozenset({RunState.RUNNING}),
    RunState.SKIPPED: frozenset(),
}
"""Who may follow whom, of runs."""


class RunKind(StrEnum):
    """Why there is a run."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    BACKFILL = "backfill"


class ItemState(StrEnum):
    """Where a row stands in a stage of a run.

    `sent` has a job, `again` is to get another one, `left_out` didn't meet the stage's condition.
    """

    SENT = "sent"
    AGAIN = "again"
    DONE = "done"
    FAILED = "failed"
    LEFT_OUT = "left_out"


class SinkState(StrEnum):
    """Where a sink of a run stands; one that failed is written again later."""

    WAITING = "waiting"
    WRITTEN = "written"
    FAILED = "failed"


def run_sources(target: RunState) -> frozenset[RunState]:
    """Return the states from which a run may move to `target`."""
    return frozenset(state for state, targets in RUN_TRANSITIONS.items() if target in targets)
