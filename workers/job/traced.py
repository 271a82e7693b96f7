"""How an attempt ended, as a trace tells it: without what was asked and answered."""

from jobs.spans import TracedCall
from jobs.store.attempts.reports import Settlement


def traced(made: Settlement) -> TracedCall:
    """Return the call of a settlement."""
    journal, result = made.journal, made.result
    return TracedCall(
        seq=journal.seq,
        n=journal.n,
        provider=journal.provider,
        pool=journal.pool,
        model=journal.model,
        outcome=made.outcome,
        error_code=made.error_code,
        finish_reason=None if result is None else result.finish_reason,
        usage=made.usage,
        latency_ms=made.latency_ms,
    )
