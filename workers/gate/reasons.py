"""Why a call may not leave yet, in one sentence that an operator understands."""

from datetime import datetime, timedelta

from jobs.clock import UTC
from jobs.pools import used_up
from workers.gate.script import Order, Refusal

BLOCKING = frozenset({"blocked", "probing", "day", "settling", "unseeded"})
"""Codes of refusals that are no matter of pace."""

PAUSING = frozenset({"blocked", "probing"})
"""Those of them whose detail is why: an error's code and message."""

_WORDS = {
    "rps": "requests per second",
    "rpm": "requests per minute",
    "rph": "requests per hour",
    "tpm": "tokens per minute",
    "itpm": "input tokens per minute",
    "otpm": "output tokens per minute",
    "auto": "requests, found by trying",
}

GONE = "the gate's Redis doesn't answer, so nothing is sent"
UNUSABLE = "the gate's Redis can't be used, a worker's log says why, so nothing is sent"


LONG_S = 60.0
"""A pause of so long has an end that is worth telling."""


def sentence(pool: str, order: Order, refusal: Refusal, now: float) -> str:
    """Return the sentence for a refusal in a round; `pool` is its name, `now` the server's clock."""
    scope = order.scopes[refusal.by].scope
    where = f"{pool}/{scope.name}" if scope.name else pool
    match refusal.code:
        case "pace":
            amount = "" if refusal.limit is None else f" ({refusal.limit:,.0f})"
            return f"{where} is at its limit of {_WORDS[refusal.detail]}{amount}"
        case "flights":
            return f"{where} has {refusal.detail} calls in flight, as many as it may have"
        case "day":
            return used_up(where, refusal.detail, round(refusal.limit or 0), _ends(refusal, now))
        case "blocked":
            until = f" until {_ends(refusal, now):%H:%M} UTC" if refusal.wait_s >= LONG_S else ""
            return f"{where} is paused{until}: {refusal.detail}"
        case "probing":
            return f"{where} is being tried with one call after: {refusal.detail}"
        case "settling":
            return f"{where} waits a moment until every worker has told of its calls under way"
        case _:
            return f"{where} waits until today's use has been read from the ledger"


def _ends(refusal: Refusal, now: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=now + refusal.wait_s)
