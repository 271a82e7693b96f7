"""What prompt caches have saved of a batch's calls, in SQL: from each attempt's own tokens and price."""

from typing import Any

import msgspec
from sqlalchemy import and_, case, literal
from sqlmodel import Session, col

from jobs.prices import Price
from jobs.store.proof.attempt_faults import PRICES, TOKENS, cost_by, prices_of
from jobs.tables import Attempt, Batch, BigInt

_CACHED, _WRITTEN = TOKENS[1], TOKENS[2]


def saved_by_cache(session: Session, batch: Batch) -> Any | None:
    """Return the expression of what was saved of an attempt; None where that is not compared.

    It isn't of a batch that has no such figure, nor of one with more different prices than are checked.
    """
    if batch.cache_saved_nanos is None:
        return None
    if not (batch.cached_input_tokens or batch.cache_write_tokens):
        return literal(0, BigInt)  # or its sums of tokens are wrong, which is told in any case
    prices = prices_of(session, batch, most=PRICES + 1)
    if len(prices) > PRICES:
        return None
    savings = [
        (and_(col(Attempt.price) == snapshot, (_CACHED > 0) | (_WRITTEN > 0)), saved)
        for snapshot in prices
        if (saved := _saved_at(snapshot)) is not None
    ]
    nothing = literal(0, BigInt)
    return case(*savings, else_=nothing) if savings else nothing


def _saved_at(snapshot: str) -> Any | None:
    try:
        price = Price.from_json(snapshot)
        return cost_by(price.uncached()) - cost_by(price)
    except (msgspec.DecodeError, ValueError):
        return None
