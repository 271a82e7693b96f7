"""What has to agree in the rows of a batch, its totals and the books of its project. Pure.

Each rule yields what does not; `balance` counts, and asks them all.
"""

from collections.abc import Iterable, Iterator, Sequence

from jobs.defaults import JobDefaults
from jobs.exchange import Usage
from jobs.states import (
    COUNTED_OUTCOMES,
    FINAL_BATCH_STATES,
    TRANSITIONS,
    BatchState,
    Outcome,
    ResultStatus,
)
from jobs.store.proof.attempt_faults import Fault
from jobs.store.proof.attempt_groups import (
    AttemptGroup,
    charged,
)
from jobs.store.proof.slice_cover import (
    JobCounts,
    SliceCounts,
)
from jobs.store.proof.violations import Violation, unless_equal, unless_zero
from jobs.store.results.result_counts import ResultCounts
from jobs.tables import Batch

TOKENS = Usage.__struct_fields__

FAULTS: dict[Fault, tuple[str, str]] = {
    Fault.STRAY: ("stray_attempts", "{} attempts are of jobs that the batch doesn't have"),
    Fault.MISNUMBERED: ("misnumbered_attempts", "{} attempts have a number below 1"),
    Fault.NEGATIVE: ("negative_attempts", "{} attempts have a figure below zero"),
    Fault.MISSHAPEN: ("misshapen_attempts", "{} attempts have columns that exclude each other"),
    Fault.MISCOSTED: (
        "miscosted_attempts",
        "{} attempts are not charged what their tokens cost, or their worst case",
    ),
    Fault.AFTER_RESULT: (
        "attempts_after_result",
        "{} attempts come after the one that decided their job",
    ),
}


def of_state(batch: Batch, slices: SliceCounts, results: ResultCounts) -> Iterator[Violation]:
    """Compare where a batch stands with what that means."""
    sentence = f"the batch is {batch.state}, and {{}}"
    if batch.state not in TRANSITIONS:
        yield Violation("wrong_state", 1, sentence.format("nothing leads to that"))
    if batch.state == BatchState.COMPLETED:
        cancelled = results.by_status[ResultStatus.CANCELLED]
        yield from unless_zero("wrong_state", cancelled, sentence.format("{} jobs are cancelled"))
    if batch.state in {BatchState.COMPLETED, BatchState.CANCELLED}:
        expired = results.by_status[ResultStatus.EXPIRED]
        yield from unless_zero("wrong_state", expired, sentence.format("{} jobs are expired"))
    if batch.state in FINAL_BATCH_STATES:
        open_slices = slices.slices - slices.done
        yield from unless_zero("open_slices", open_slices, sentence.format("{} slices are open"))
    elif slices.slices == slices.done:
        yield Violation("wrong_state", 1, sentence.format("all of its slices are done"))


def of_jobs(batch: Batch, jobs: JobCounts, lost: int) -> Iterator[Violation]:
    """Compare the jobs that were accepted with those that are there, and those that nobody will run."""
    missing = batch.total_jobs - jobs.numbered
    yield from unless_zero("missing_jobs", missing, "{} accepted jobs are not there")
    yield from unless_zero("stray_jobs", jobs.stray, "{} jobs have a number that was not accepted")
    yield from unless_zero("namesake_jobs", jobs.namesakes, "{} jobs have another one's custom_id")
    yield from unless_zero("lost_jobs", lost, "{} jobs have no result, and nobody will run them")


def of_slices(batch: Batch, slices: SliceCounts) -> Iterator[Violation]:
    """Compare slices with the batch that they were cut from."""
    totals = (
        ("miscounted_slices", batch.total_slices, slices.slices, "slices"),
        ("miscounted_done_slices", batch.done_slices, slices.done, "slices that are done"),
        ("miscounted_slice_jobs", batch.total_jobs, slices.jobs, "jobs in slices"),
    )
    for code, told, counted, what in totals:
        yield from unless_equal(code, told, counted, what)
    faults = (
        ("misnumbered_slices", slices.misnumbered, "{} slices have a number that was not cut"),
        ("overlapping_slices", slices.overlapping, "{} slices begin within another one"),
        ("misfitting_slices", slices.misfitting, "{} slices don't hold the jobs that they say"),
    )
    for fault in faults:
        yield from unless_zero(*fault)


def of_results(
    batch: Batch, results: ResultCounts, groups: Iterable[AttemptGroup]
) -> Iterator[Violation]:
    """Compare a batch's results with its totals, and with the attempts that decided them."""
    for status in ResultStatus:
        told, counted = getattr(batch, status), results.by_status[status]
        yield from unless_equal(f"miscounted_{status}", told, counted, f"{status} jobs")
    yield from unless_equal("miscounted_reused", batch.reused_jobs, results.kept, "kept results")
    deciding = [group for group in groups if group.decides is not None]
    unable = charged(deciding, lambda group: not _can_decide(group)).attempts
    nowhere = results.with_attempt - sum(group.attempts for group in deciding)
    faults = (
        ("stray_results", results.stray, "{} results are of jobs that the batch doesn't have"),
        ("misshapen_results", results.misshapen, "{} results have columns that exclude each other"),
        ("misplaced_results", results.empty_places, "{} places in the order of arrival are empty"),
        (
            "unlike_twins",
            results.unlike_twins,
            "{} results are copies of one that is another, or not there",
        ),
        (
            "unlike_kept",
            results.unlike_kept,
            "{} results were kept from one that is another, or not there",
        ),
        (
            "unasked_kept",
            0 if _may_keep(batch) else results.kept,
            "{} results were kept from earlier batches, and the batch allows no such thing",
        ),
        ("dangling_results", nowhere, "{} results are of an attempt that is not there"),
        (
            "unbacked_results",
            unable + results.unattempted_answers,
            "{} results have no call that can have given them",
        ),
    )
    for fault in faults:
        yield from unless_zero(*fault)


def _may_keep(batch: Batch) -> bool:
    """Whether results of a batch may be those of earlier ones."""
    return batch.retry_of is not None or JobDefaults.from_json(batch.defaults).reuse is not None


def _can_decide(group: AttemptGroup) -> bool:
    """Whether attempts ended in a way that can have given their jobs the results that these have."""
    if group.decides == ResultStatus.SUCCEEDED:
        return group.outcome == Outcome.SUCCEEDED and not group.is_bad
    return group.outcome in COUNTED_OUTCOMES or group.outcome == Outcome.SUCCEEDED


def of_attempts(groups: Iterable[AttemptGroup], skipped: int) -> Iterator[Violation]:
    """Look for attempts that can't be as they are, and for numbers that were left out."""
    counts = dict.fromkeys(FAULTS, 0)
    for group in groups:
        if group.fault is not Fault.NONE:
            counts[group.fault] += group.attempts
    for fault, (code, sentence) in FAULTS.items():
        yield from unless_zero(code, counts[fault], sentence)
    yield from unless_zero(
        "skipped_attempts", skipped, "{} attempts come after one that is not there"
    )


def of_totals(batch: Batch, groups: Sequence[AttemptGroup]) -> Iterator[Violation]:
    """Compare a batch's totals with its attempts."""
    in_flight = charged(groups, lambda group: group.outcome is None).attempts
    reserved_nanos = sum(group.reserved_nanos for group in groups if group.outcome is None)
    spent_nanos = sum(group.cost_nanos for group in groups)
    unknown = charged(groups, lambda group: group.is_unknown).attempts
    unpriced = charged(groups, _is_unpriced_answer).attempts
    bad = charged(groups, lambda group: group.is_bad)
    totals = [
        ("miscounted_in_flight", batch.in_flight, in_flight, "calls in flight"),
        ("miscounted_unknown", batch.unknown_attempts, unknown, "attempts of unknown use"),
        ("miscounted_unpriced", batch.unpriced_jobs, unpriced, "jobs without a known cost"),
        ("miscounted_bad", batch.bad_answers, bad.attempts, "answers that were not usable"),
        ("drift_bad", batch.bad_nanos, bad.cost_nanos, "nano-dollars for unusable answers"),
        ("drift_batch", batch.spent_nanos, spent_nanos, "nano-dollars spent"),
        ("drift_reserved", batch.reserved_nanos, reserved_nanos, "nano-dollars reserved"),
    ]
    for number, name in enumerate(TOKENS):
        counted = sum(group.tokens[number] for group in groups)
        totals.append((f"drift_{name}", getattr(batch, name), counted, name.replace("_", " ")))
    for code, told, counted, what in totals:
        yield from unless_equal(code, told, counted, what)
    if batch.state in FINAL_BATCH_STATES:
        ended = "and the batch has ended"
        yield from unless_zero("open_attempts", in_flight, f"{{}} calls are open, {ended}")
        left_nanos = batch.reserved_nanos
        yield from unless_zero("reserved", left_nanos, f"{{}} nano-dollars are reserved, {ended}")


def of_caches(batch: Batch, groups: Iterable[AttemptGroup]) -> Iterator[Violation]:
    """Compare what prompt caches saved with the tokens and prices of the attempts."""
    told, counted = batch.cache_saved_nanos or 0, sum(group.cache_saved_nanos for group in groups)
    what = "nano-dollars saved by prompt caches"
    yield from unless_equal("drift_cache_saved", told, counted, what)


def of_ledgers_caches(batches_nanos: int, ledger_nanos: int) -> Iterator[Violation]:
    """Compare what prompt caches saved by a project's batches and by its ledger."""
    if drift := ledger_nanos - batches_nanos:
        said = f"{ledger_nanos:,} nano-dollars, and its batches say {batches_nanos:,}"
        sentence = f"by the project's ledger prompt caches saved {said}"
        yield Violation("drift_ledger_cache_saved", drift, sentence)


def of_money(ledger_nanos: int, batches_nanos: int) -> Iterator[Violation]:
    """Compare what was spent by a project's batches and by its ledger."""
    if drift := ledger_nanos - batches_nanos:
        said = f"{ledger_nanos:,} nano-dollars, and its batches say {batches_nanos:,}"
        yield Violation("drift_ledger", drift, f"the project's ledger says {said}")


def _is_unpriced_answer(group: AttemptGroup) -> bool:
    """Whether these are answers that came without a known cost; an account's word came later."""
    is_answer = group.outcome == Outcome.SUCCEEDED and not group.is_reconciled
    return is_answer and group.decides is not None and not group.has_cost
