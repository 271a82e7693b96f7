"""Whether the promises held: four accounts of one run, compared call by call.

What was accepted, what came out, our own books, and the provider's ledger, which is the judge.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.money import format_usd, parse_usd
from jobs.states import FINAL_BATCH_STATES, BatchState, Outcome, ResultStatus
from scripts.fault_injection.excuses import excuse
from scripts.fault_injection.kinds import Strike
from scripts.fault_injection.submissions import Submission, job_ids, name_of

SHOWN = 3
OUT_OF_MONEY = "its budget of "
"""How a batch begins to say that it waits for its own budget."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """What each side says. Batches, results, attempts are as the API has them, calls as the simulator.

    `accepted` are batch ids, `results` are by them. `ledger_total` is the total of our usage report.
    """

    accepted: Mapping[Submission, str]
    batches: Sequence[Mapping[str, Any]]
    results: Mapping[str, Sequence[Mapping[str, Any]]]
    attempts: Sequence[Mapping[str, Any]]
    ledger_total: Mapping[str, Any]
    calls: Sequence[Mapping[str, Any]]
    strikes: Sequence[Strike]


@dataclass(slots=True)
class Verdict:
    """The figures; `findings` are broken promises in words. Money is in nano-dollars.

    `errors` counts results that are no success by their code, or status where there is none;
    `excuses` says of some why they may be.
    """

    accepted: int = 0
    finished: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    excuses: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    drift_nanos: int = 0
    unknown: int = 0
    may_be_unknown: int = 0
    wasted: int = 0
    wasted_nanos: int = 0
    cost_nanos: int = 0
    overrun_nanos: int = 0
    reserved_left_nanos: int = 0
    findings: list[str] = field(default_factory=list)


def judge(accounts: Accounts) -> Verdict:
    """Compare the accounts."""
    verdict = Verdict()
    _judge_results(accounts, verdict)
    _judge_errors(accounts, verdict)
    _judge_calls(accounts, verdict)
    _judge_books(accounts, verdict)
    _judge_budgets(accounts, verdict)
    return verdict


def _judge_results(accounts: Accounts, verdict: Verdict) -> None:
    found = {batch["id"]: batch for batch in accounts.batches}
    for submission, batch_id in accounts.accepted.items():
        verdict.accepted += submission.jobs
        if batch_id in found:
            _judge_batch(found[batch_id], submission, accounts, verdict)
        else:
            verdict.findings.append(f"batch {submission.name} was answered with 202 and is gone")
            verdict.lost += submission.jobs
    unasked = sorted(set(found) - set(accounts.accepted.values()))
    _find(verdict, "batches beside the one of their key", [found[of]["name"] for of in unasked])
    if verdict.doubled:
        verdict.findings.append(f"{verdict.doubled} results too many")


def _judge_batch(
    batch: Mapping[str, Any],
    submission: Submission,
    accounts: Accounts,
    verdict: Verdict,
) -> None:
    results = accounts.results[batch["id"]]
    expected = job_ids(submission)
    if batch["counts"]["total"] != submission.jobs:
        counted = batch["counts"]["total"]
        verdict.findings.append(f"batch {submission.name} has {counted} of {len(expected)} lines")
    times = Counter(result["custom_id"] for result in results)
    verdict.finished += len(times)
    verdict.doubled += sum(count - 1 for count in times.values())
    if not _is_out_of_money(batch, accounts.attempts):
        if _is_paused(batch):
            reason = batch["waiting_for"]
            verdict.findings.append(
                f"batch {submission.name} is paused, and not for want of money: {reason}"
            )
        missing = [job_id for job_id in expected if job_id not in times]
        verdict.lost += len(missing)
        _find(verdict, "jobs without a result", missing)
    _find(verdict, "results of strangers", sorted(set(times) - set(expected)))
    strangers = [
        result["custom_id"]
        for result in results
        if result["status"] == "succeeded"
        and not str(result["output"]).startswith(f"[job:{result['custom_id']}]")
    ]
    _find(verdict, "answers to another job", strangers)


def _judge_errors(accounts: Accounts, verdict: Verdict) -> None:
    attempts = _of_each_job(accounts.attempts)
    failed = [
        result
        for results in accounts.results.values()
        for result in results
        if result["status"] != ResultStatus.SUCCEEDED
    ]
    verdict.failed = len(failed)
    verdict.errors = dict(Counter(map(_error, failed)))
    unexcused = []
    for result in failed:
        custom_id = result["custom_id"]
        reason = excuse(result, attempts[custom_id], accounts.strikes)
        if reason is None:
            unexcused.append(f"{custom_id} ({_error(result)})")
        else:
            verdict.excuses.append(f"{custom_id} ({_error(result)}): {reason}")
    _find(verdict, "errors for a result that no fault excuses", unexcused)


def _error(result: Mapping[str, Any]) -> str:
    """Return what is wrong with a result in a word."""
    code: str = result["status"] if result["error"] is None else result["error"]["code"]
    return code


def _of_each_job(
    attempts: Sequence[Mapping[str, Any]],
) -> defaultdict[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for attempt in attempts:
        found[attempt["custom_id"]].append(attempt)
    return found


def _judge_calls(accounts: Accounts, verdict: Verdict) -> None:
    """Match each job's attempts with the provider's answers to it.

    An attempt with a usage is one answered call of the same cost. Any other call that the provider
    billed must be one of the job's unknown attempts.
    """
    ours = _of_each_job(accounts.attempts)
    answered, billed = _by_job(accounts.calls)
    unheard = []
    for job_id in ours.keys() | billed.keys():
        attempts, answers = ours[job_id], answered[job_id]
        known = [_cost_nanos(attempt) for attempt in attempts if attempt["usage"] is not None]
        unknown = sum(map(_is_unknown, attempts))
        verdict.unknown += unknown
        verdict.drift_nanos += _drift(known, answers)
        if billed[job_id] > len(known) + unknown:
            unheard.append(job_id)
        verdict.wasted += max(0, len(answers) - 1)
        verdict.wasted_nanos += sum(answers) - max(answers, default=0)
    _find(verdict, "jobs with a billed call that we have no attempt for", sorted(unheard))
    if verdict.drift_nanos:
        verdict.findings.append(f"{verdict.drift_nanos} nano-dollars apart on answered attempts")
    verdict.may_be_unknown = sum(strike.may_be_unknown for strike in accounts.strikes)
    if verdict.unknown > verdict.may_be_unknown:
        verdict.findings.append(
            f"{verdict.unknown} unknown attempts, {verdict.may_be_unknown} calls were in danger"
        )


def _by_job(calls: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[int]], Counter[str]]:
    """Return the costs of each job's answers, and how many calls for it were billed, answered or not."""
    answered: dict[str, list[int]] = defaultdict(list)
    billed: Counter[str] = Counter()
    for call in calls:
        if call["answered"]:
            answered[call["job_id"]].append(call["cost_nanos"])
        billed[call["job_id"]] += call["cost_nanos"] > 0
    return answered, billed


def _judge_books(accounts: Accounts, verdict: Verdict) -> None:
    """Our attempts, our ledger by day and the batches' totals are three sums of the same."""
    verdict.cost_nanos = sum(map(_cost_nanos, accounts.attempts))
    sums = {
        "the ledger": parse_usd(accounts.ledger_total["cost_usd"]),
        "the batches": sum(parse_usd(batch["cost_usd"]) for batch in accounts.batches),
    }
    for name, nanos in sums.items():
        if nanos != verdict.cost_nanos:
            verdict.findings.append(
                f"{name} say ${format_usd(nanos)}, attempts ${format_usd(verdict.cost_nanos)}"
            )
    unsettled = sum(attempt["outcome"] is None for attempt in accounts.attempts)
    if unsettled:
        verdict.findings.append(f"{unsettled} attempts are still open")
    counted = accounts.ledger_total["attempts"]
    if counted != len(accounts.attempts) - unsettled:
        verdict.findings.append(f"{counted} attempts in the ledger of {len(accounts.attempts)}")
    unknown = sum(batch["unknown_attempts"] for batch in accounts.batches)
    if unknown != verdict.unknown:
        verdict.findings.append(f"the batches count {unknown} unknown of {verdict.unknown}")
    reserved = sum(parse_usd(batch["reserved_usd"]) for batch in accounts.batches)
    verdict.reserved_left_nanos = reserved
    if reserved:
        verdict.findings.append(f"${format_usd(reserved)} reserved for nothing")


def _judge_budgets(accounts: Accounts, verdict: Verdict) -> None:
    billed: Counter[str] = Counter()
    for call in accounts.calls:
        billed[name_of(call["job_id"])] += call["cost_nanos"]
    for batch in accounts.batches:
        if batch["max_cost_usd"] is not None:
            cap = parse_usd(batch["max_cost_usd"])
            most = max(parse_usd(batch["cost_usd"]), billed[batch["name"]])
            verdict.overrun_nanos += max(0, most - cap)
    if verdict.overrun_nanos:
        verdict.findings.append(f"${format_usd(verdict.overrun_nanos)} over the budget")


def is_at_rest(batch: Mapping[str, Any]) -> bool:
    """Whether nothing will happen to a batch any more: it has ended, or is paused and idle."""
    is_idle = _is_paused(batch) and not parse_usd(batch["reserved_usd"])
    return batch["state"] in FINAL_BATCH_STATES or is_idle


def _is_paused(batch: Mapping[str, Any]) -> bool:
    return bool(batch["state"] == BatchState.PAUSED)


def _is_out_of_money(batch: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a batch is paused for its own budget, which has no room for one more of its calls.

    `attempts` are those of all batches: their calls are all alike.
    """
    says_so = str(batch["waiting_for"]).startswith(OUT_OF_MONEY)
    if not _is_paused(batch) or not says_so or batch["max_cost_usd"] is None:
        return False
    one_nanos = min((parse_usd(attempt["reserved_usd"]) for attempt in attempts), default=0)
    left_nanos = parse_usd(batch["max_cost_usd"]) - parse_usd(batch["cost_usd"])
    return left_nanos < one_nanos


def _cost_nanos(attempt: Mapping[str, Any]) -> int:
    return parse_usd(attempt["cost_usd"] or "0")


def _is_unknown(attempt: Mapping[str, Any]) -> bool:
    is_lost: bool = attempt["outcome"] == Outcome.UNKNOWN and attempt["usage"] is None
    return is_lost or attempt["cost_is_estimate"]


def _drift(known: Sequence[int], answers: Sequence[int]) -> int:
    """Return by how much our answered attempts of a job differ from the answers they can be."""
    left = Counter(answers)
    wrong = []
    for nanos in known:
        if left[nanos]:
            left[nanos] -= 1
        else:
            wrong.append(nanos)
    spare = sorted(left.elements())
    nearest = [min((abs(nanos - other) for other in spare), default=nanos) for nanos in wrong]
    return sum(nearest)


def _find(verdict: Verdict, what: str, ids: Sequence[str]) -> None:
    if ids:
        verdict.findings.append(_named(what, ids))


def _named(what: str, ids: Sequence[str]) -> str:
    return f"{len(ids):,} {what}: {', '.join(ids[:SHOWN])}"
