"""The proof that nothing of a batch is missing: its rows counted and added up, beside its totals.

Reads one state of the database without locking anything. All adding up is the database's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

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
from jobs.store.attempt_faults import Fault
from jobs.store.attempt_groups import (
    AttemptGroup,
    groups_of_batch,
    groups_of_others,
    skipped_numbers,
)
from jobs.store.cache_savings import saved_by_cache
from jobs.store.native_proof import native_counts, native_violations
from jobs.store.project_books import (
    cache_savings_of_project,
    is_readable,
    money_of_project,
    project_violations,
)
from jobs.store.result_counts import ResultCounts, result_counts
from jobs.store.slice_cover import (
    JobCounts,
    SliceCounts,
    job_counts,
    lost_in_slices,
    slice_counts,
)
from jobs.store.violations import Violation, unless_equal, unless_zero
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


@dataclass(frozen=True, slots=True)
class Charged:
    """Some attempts and what they are charged."""

    attempts: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What a batch's rows say, and whether its totals and the ledger say the same.

    Attributes:
        state: where the batch stands.
        accepted: jobs that were accepted.
        finished: of those, how many have their result.
        lost: of those without, how many nobody will run: their slice is done, or the batch has ended.
        attempts: how many ended how; `in_flight` are those that have not.
        unknown: those charged at their worst case, as their use is not known.
        wasted: answers that were paid for and decide nothing: late ones, and second ones.
        bad: answers that were not usable.
        unpriced: billed attempts of which nobody knows the cost, so that the money leaves them out.
        attempts_nanos: what all attempts cost, added up.
        batch_nanos: what the batch says that it has spent.
        batches_nanos: what all batches of the project say.
        ledger_nanos: what the project's ledger says; it is not kept by batch.
        reserved_nanos: what the batch has set aside for calls in flight.
        is_ledger_read: whether the ledger's days were compared with all of the project's attempts; of
            a very large project they are not.
        native_batches: how many native batches were made of it.
        unexpected_lines: lines of their results that were nobody's, or came a second time.
        violations: what does not agree; none if the batch balances.
    """

    state: str
    accepted: int
    finished: int
    lost: int
    attempts: dict[str, int]
    unknown: Charged
    wasted: Charged
    bad: Charged
    unpriced: int
    attempts_nanos: int
    batch_nanos: int
    batches_nanos: int
    ledger_nanos: int
    reserved_nanos: int
    is_ledger_read: bool
    native_batches: int
    unexpected_lines: int
    violations: list[Violation]

    @property
    def waiting(self) -> int:
        """Accepted jobs that have no result yet, and will have one."""
        return self.accepted - self.finished - self.lost


def balance(session: Session, batch: Batch) -> Balance:
    """Count and add up everything of a batch, and the books of its project.

    Args:
        session: a transaction of `Database.snapshot`, in which the batch was read. It takes some
            seconds per million jobs, and a second or two per million attempts of the project.
        batch: the batch, as it was read there.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Compiling these statements takes PostgreSQL longer than it saves with a million rows.
        session.connection().execute(text("SET LOCAL jit = off"))
    results, jobs = result_counts(session, batch), job_counts(session, batch)
    slices = slice_counts(session, batch)
    cache_saved = saved_by_cache(session, batch)
    groups = groups_of_batch(session, batch, cache_saved)
    natives = native_counts(session, batch)
    finished = sum(results.by_status.values())
    is_final = batch.state in FINAL_BATCH_STATES
    lost = batch.total_jobs - finished if is_final else lost_in_slices(session, batch)
    is_ledger_read = is_readable(session, batch.project_id)
    batches_nanos, ledger_nanos = money_of_project(session, batch.project_id)
    violations = [
        *_of_state(batch, slices, results),
        *_of_jobs(batch, jobs, lost),
        *_of_slices(batch, slices),
        *_of_results(batch, results, groups),
        *_of_attempts(groups, skipped_numbers(session, batch)),
        *_of_totals(batch, groups),
        *(() if cache_saved is None else _of_caches(batch, groups)),
        *native_violations(batch, natives),
        *_of_money(ledger_nanos, batches_nanos),
        *_of_ledgers_caches(*cache_savings_of_project(session, batch.project_id)),
    ]
    if is_ledger_read:
        everything = [*groups, *groups_of_others(session, batch)]
        violations += project_violations(session, batch.project_id, everything)
    return Balance(
        state=batch.state,
        accepted=batch.total_jobs,
        finished=finished,
        lost=lost,
        attempts=_by_outcome(groups),
        unknown=_charged(groups, lambda group: group.is_unknown),
        wasted=_charged(groups, lambda group: group.is_wasted),
        bad=_charged(groups, lambda group: group.is_bad),
        unpriced=_charged(groups, lambda group: group.is_unpriced).attempts,
        attempts_nanos=sum(group.cost_nanos for group in groups),
        batch_nanos=batch.spent_nanos,
        batches_nanos=batches_nanos,
        ledger_nanos=ledger_nanos,
        reserved_nanos=batch.reserved_nanos,
        is_ledger_read=is_ledger_read,
        native_batches=natives.batches,
        unexpected_lines=natives.unexpected,
        violations=violations,
    )


def _of_state(batch: Batch, slices: SliceCounts, results: ResultCounts) -> Iterator[Violation]:
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


def _of_jobs(batch: Batch, jobs: JobCounts, lost: int) -> Iterator[Violation]:
    missing = batch.total_jobs - jobs.numbered
    yield from unless_zero("missing_jobs", missing, "{} accepted jobs are not there")
    yield from unless_zero("stray_jobs", jobs.stray, "{} jobs have a number that was not accepted")
    yield from unless_zero("namesake_jobs", jobs.namesakes, "{} jobs have another one's custom_id")
    yield from unless_zero("lost_jobs", lost, "{} jobs have no result, and nobody will run them")


def _of_slices(batch: Batch, slices: SliceCounts) -> Iterator[Violation]:
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


def _of_results(
    batch: Batch, results: ResultCounts, groups: Iterable[AttemptGroup]
) -> Iterator[Violation]:
    for status in ResultStatus:
        told, counted = getattr(batch, status), results.by_status[status]
        yield from unless_equal(f"miscounted_{status}", told, counted, f"{status} jobs")
    yield from unless_equal("miscounted_reused", batch.reused_jobs, results.kept, "kept results")
    deciding = [group for group in groups if group.decides is not None]
    unable = _charged(deciding, lambda group: not _can_decide(group)).attempts
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


def _of_attempts(groups: Iterable[AttemptGroup], skipped: int) -> Iterator[Violation]:
    counts = dict.fromkeys(FAULTS, 0)
    for group in groups:
        if group.fault is not Fault.NONE:
            counts[group.fault] += group.attempts
    for fault, (code, sentence) in FAULTS.items():
        yield from unless_zero(code, counts[fault], sentence)
    yield from unless_zero(
        "skipped_attempts", skipped, "{} attempts come after one that is not there"
    )


def _of_totals(batch: Batch, groups: Sequence[AttemptGroup]) -> Iterator[Violation]:
    """Compare a batch's totals with its attempts."""
    in_flight = _charged(groups, lambda group: group.outcome is None).attempts
    reserved_nanos = sum(group.reserved_nanos for group in groups if group.outcome is None)
    spent_nanos = sum(group.cost_nanos for group in groups)
    unknown = _charged(groups, lambda group: group.is_unknown).attempts
    unpriced = _charged(groups, _is_unpriced_answer).attempts
    bad = _charged(groups, lambda group: group.is_bad)
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


def _of_caches(batch: Batch, groups: Iterable[AttemptGroup]) -> Iterator[Violation]:
    """Compare what prompt caches saved with the tokens and prices of the attempts."""
    told, counted = batch.cache_saved_nanos or 0, sum(group.cache_saved_nanos for group in groups)
    what = "nano-dollars saved by prompt caches"
    yield from unless_equal("drift_cache_saved", told, counted, what)


def _of_ledgers_caches(batches_nanos: int, ledger_nanos: int) -> Iterator[Violation]:
    if drift := ledger_nanos - batches_nanos:
        said = f"{ledger_nanos:,} nano-dollars, and its batches say {batches_nanos:,}"
        sentence = f"by the project's ledger prompt caches saved {said}"
        yield Violation("drift_ledger_cache_saved", drift, sentence)


def _of_money(ledger_nanos: int, batches_nanos: int) -> Iterator[Violation]:
    if drift := ledger_nanos - batches_nanos:
        said = f"{ledger_nanos:,} nano-dollars, and its batches say {batches_nanos:,}"
        yield Violation("drift_ledger", drift, f"the project's ledger says {said}")


def _is_unpriced_answer(group: AttemptGroup) -> bool:
    """Whether these are answers that came without a known cost; an account's word came later."""
    is_answer = group.outcome == Outcome.SUCCEEDED and not group.is_reconciled
    return is_answer and group.decides is not None and not group.has_cost


def _by_outcome(groups: Iterable[AttemptGroup]) -> dict[str, int]:
    """Return how many attempts ended how, also in a newer version's words."""
    counts = {**{outcome.value: 0 for outcome in Outcome}, "in_flight": 0}
    for group in groups:
        outcome = group.outcome or "in_flight"
        counts[outcome] = counts.get(outcome, 0) + group.attempts
    return counts


def _charged(groups: Iterable[AttemptGroup], condition: Callable[[AttemptGroup], bool]) -> Charged:
    """Return those attempts that a condition holds of."""
    some = [group for group in groups if condition(group)]
    attempts = sum(group.attempts for group in some)
    return Charged(attempts, sum(group.cost_nanos for group in some))
