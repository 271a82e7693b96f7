"""What an answer or an error means for an attempt and its job: pure, from values to a settlement."""

import re
from typing import Any

import msgspec

from jobs.errors import (
    ConnectFailed,
    Overloaded,
    Permanent,
    ProviderError,
    ProviderUnusable,
    RateLimited,
)
from jobs.exchange import Answer
from jobs.kinds.kind import Bad, Good, Verdict
from jobs.prices import Price
from jobs.states import OUTAGE, USAGE_MISSING, Outcome, ResultStatus
from jobs.store.attempts.reports import Journal, PartDraft, ResultDraft, Settlement
from workers.job.dialogue import Anew, Heard, Kept, Over

MESSAGE_CHARACTERS = 500
"""Of an error's message that are stored."""

UNSTORABLE = "unstorable"
"""Code of a job, and of its last attempt, of which the database takes no row."""

_REFUSED_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL refuses in a text."""


def of_answer(
    journal: Journal, answer: Answer, price: Price | None, heard: Heard, latency_ms: int
) -> Settlement:
    """Settle an attempt that was answered, by what its job's dialogue made of that.

    An answer without a credible usage is charged what was reserved, and its attempt is marked
    `usage_missing`, unless its result has an error of its own.
    """
    if price is None:
        cost_nanos = None
    elif answer.usage is None:
        cost_nanos = journal.reserved_nanos
    else:
        cost_nanos = price.cost_nanos(answer.usage)
    result, part, error_code = None, None, None
    match heard:
        case Over(verdict):
            result = _result(verdict, answer)
            error_code = result.error_code
        case Kept(no, output):
            part = PartDraft(no, _json(output))
        case Anew(bad):
            error_code = bad.code
    return Settlement(
        journal=journal,
        outcome=Outcome.SUCCEEDED,
        usage=answer.usage,
        cost_nanos=cost_nanos,
        latency_ms=latency_ms,
        error_code=error_code or (USAGE_MISSING if answer.usage is None else None),
        result=result,
        part=part,
    )


def _result(verdict: Verdict, answer: Answer) -> ResultDraft:
    match verdict:
        case Good(output, mended):
            return ResultDraft(
                status=ResultStatus.SUCCEEDED,
                output=_json(output),
                finish_reason=answer.finish.value,
                mended=mended and storable(mended),
            )
        case Bad(code, message):
            return ResultDraft(
                status=ResultStatus.FAILED,
                output=_json(answer.text),
                finish_reason=answer.finish.value,
                error_code=code,
                error_message=storable(message),
            )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def of_error(
    journal: Journal,
    error: ProviderError,
    latency_ms: int,
    *,
    is_final: bool = False,
    counts: bool = True,
) -> Settlement:
    """Settle an attempt that failed; the job's result is the error only if it `is_final`.

    What may have run is charged at its worst case until somebody knows better. A failure that does
    not count against the job's attempts is the provider's refusal to work, or a call that its trouble
    cut off.
    """
    outcome, code = outcome_of(error), error.code
    if not counts and outcome is Outcome.FAILED:
        outcome = Outcome.LIMITED
    elif not counts and outcome is Outcome.UNKNOWN:
        code = OUTAGE
    cost_nanos = None
    if outcome is Outcome.UNKNOWN and journal.price is not None:
        cost_nanos = journal.reserved_nanos
    return Settlement(
        journal=journal,
        outcome=outcome,
        cost_nanos=cost_nanos,
        latency_ms=latency_ms,
        error_code=code,
        result=failure(error.code, error.message) if is_final else None,
    )


def unsent(journal: Journal) -> Settlement:
    """Settle an attempt that was journaled and then not made, as its slice began to close."""
    return Settlement(journal=journal, outcome=Outcome.UNSENT)


def unstorable(journal: Journal) -> Settlement:
    """Settle an attempt whose true end the database will never take: it was paid for, and is final."""
    return Settlement(
        journal=journal,
        outcome=Outcome.UNKNOWN,
        cost_nanos=None if journal.price is None else journal.reserved_nanos,
        error_code=UNSTORABLE,
        result=failure(UNSTORABLE, "its answer can't be stored; the worker's log says why"),
    )


def outcome_of(error: ProviderError) -> Outcome:
    """Return how an attempt that ended in this error ended."""
    match error:
        case ConnectFailed():
            return Outcome.UNSENT
        case RateLimited() | Overloaded() | ProviderUnusable():
            return Outcome.LIMITED
        case Permanent():
            return Outcome.REJECTED
        case _ if error.may_have_run:
            return Outcome.UNKNOWN
        case _:
            return Outcome.FAILED


def failure(code: str, message: str) -> ResultDraft:
    """Return the result of a job that failed for this reason."""
    return ResultDraft(status=ResultStatus.FAILED, error_code=code, error_message=storable(message))


def storable(message: str) -> str:
    """Return a message as both databases store it, cut to a readable length."""
    return _REFUSED_CHARACTERS.sub("\ufffd", message)[:MESSAGE_CHARACTERS]
