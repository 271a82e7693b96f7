"""Which errors for a result the faults of a run excuse: a job may fail if every attempt met a fault."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jobs.states import Outcome
from scripts.fault_injection.kinds import Strike
from workers.job.suspicion import POISON_AFTER

CALL_DEADLINE_S = 15.0
MAX_ATTEMPTS = 5
"""What the parts of a run are told: of one call, and of one job."""

KILLS_WORKERS = "kills_workers"

OF_THE_WAY = frozenset(
    {
        "attempts_exhausted",
        "connection_lost",
        "malformed_reply",
        "server_failed",
        "timed_out",
    }
)
"""Codes of jobs whose calls fail on the way or at the provider; all others would be a fault of ours."""

_FAILED = frozenset({Outcome.FAILED, Outcome.UNKNOWN})


def excuse(
    result: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]], strikes: Sequence[Strike]
) -> str | None:
    """Return why a job's result may be an error, None if nothing excuses that.

    Args:
        result: the job's, as the API has it.
        attempts: of this job alone, as the API has them.
        strikes: all of the run.
    """
    code = result["error"]["code"]
    if code == KILLS_WORKERS:
        lost = sum(result["custom_id"] in strike.cut_off for strike in strikes)
        return f"{lost} faults took its worker" if lost >= POISON_AFTER else None
    if code not in OF_THE_WAY:
        return None
    met = sum(attempt["outcome"] in _FAILED and _met(attempt, strikes) for attempt in attempts)
    return f"{met} of its calls met a fault" if met >= MAX_ATTEMPTS else None


def _met(attempt: Mapping[str, Any], strikes: Sequence[Strike]) -> bool:
    """Whether a fault that calls suffer from happened while an attempt may have been in flight."""
    sent_at = datetime.fromisoformat(attempt["sent_at"]).timestamp()
    return any(
        strike.began_at <= sent_at + CALL_DEADLINE_S and sent_at <= strike.ended_at
        for strike in strikes
        if strike.may_be_unknown
    )
