"""What is wrong with an attempt's row by itself, in SQL: found in the pass that adds attempts up.

Of an attempt that has several faults the first is told. What an attempt must cost is worked out from
its own price and tokens, so that two wrong costs which add up to the right sum are seen.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import msgspec
from sqlalchemy import and_, case, func, literal, null, or_, select
from sqlmodel import Session, col

from jobs.exchange import MAX_CREDIBLE_TOKENS, Usage
from jobs.prices import TOKENS_PER_RATE, Price, Rates
from jobs.states import BILLED_OUTCOMES, Outcome
from jobs.tables import Attempt, Batch, BigInt, Result

PRICES = 100
"""Different price snapshots of a batch whose costs are checked, the most frequent first: a batch has a
handful, one for each model and each time that a price has changed."""

_SUMMED_COUNTS = 4
"""Of a credible call's counts that a protocol may have added up to one of ours."""

_IMPOSSIBLE = -1
"""A cost that no attempt has."""

TOKENS = tuple(col(getattr(Attempt, name)) for name in Usage.__struct_fields__)
HAS_USAGE = col(Attempt.input_tokens).is_not(None)
HAS_COST = col(Attempt.cost_nanos).is_not(None)
IS_RECONCILED = col(Attempt.reconciled_at).is_not(None)


class Fault(IntEnum):
    """What is wrong with an attempt, in the order in which it is looked for."""

    NONE = 0
    STRAY = 1
    MISNUMBERED = 2
    NEGATIVE = 3
    MISSHAPEN = 4
    MISCOSTED = 5
    AFTER_RESULT = 6


def fault_of(session: Session, batch: Batch) -> Any:
    """Return the expression of an attempt's `Fault`; its job's result is joined, or null."""
    total_jobs = literal(batch.total_jobs, BigInt)  # more than a number has bits, if damaged
    return case(
        (or_(col(Attempt.seq) < 0, col(Attempt.seq) >= total_jobs), Fault.STRAY.value),
        (col(Attempt.n) < 1, Fault.MISNUMBERED.value),
        (_is_negative(), Fault.NEGATIVE.value),
        (_is_misshapen(), Fault.MISSHAPEN.value),
        (_is_miscosted(prices_of(session, batch)), Fault.MISCOSTED.value),
        (col(Result.attempt) < col(Attempt.n), Fault.AFTER_RESULT.value),
        else_=Fault.NONE.value,
    )


def _is_negative() -> Any:
    figures = (col(Attempt.reserved_nanos), col(Attempt.cost_nanos), col(Attempt.latency_ms))
    return or_(*(figure < 0 for figure in (*figures, *TOKENS)))


def _is_misshapen() -> Any:
    """Whether columns contradict each other that are written together, or never together."""
    outcome = col(Attempt.outcome)
    of_the_end = (*TOKENS, Attempt.cost_nanos, Attempt.latency_ms, Attempt.error_code)
    has_ended = or_(IS_RECONCILED, *(col(column).is_not(None) for column in of_the_end))
    return or_(
        and_(outcome.is_(None), has_ended),
        *(count.is_not(None) != HAS_USAGE for count in TOKENS[1:]),
        and_(HAS_USAGE, outcome != Outcome.SUCCEEDED),
        # The provider's account makes a lost call a success with its use, or a failure without.
        and_(
            IS_RECONCILED, outcome != Outcome.FAILED, or_(outcome != Outcome.SUCCEEDED, ~HAS_USAGE)
        ),
        and_(col(Attempt.price).is_(None), col(Attempt.reserved_nanos) != 0),
    )


def _is_miscosted(prices: Iterable[str]) -> Any:
    """Whether an attempt that has ended is not charged what its tokens cost, or its worst case."""
    cost, has_price = col(Attempt.cost_nanos), col(Attempt.price).is_not(None)
    charged = case(
        (HAS_USAGE, _by_price(prices)),
        (col(Attempt.outcome).in_(BILLED_OUTCOMES), col(Attempt.reserved_nanos)),
        else_=null(),
    )
    expected = case(
        # Of these the provider itself has told the cost.
        (and_(IS_RECONCILED, HAS_USAGE), func.coalesce(cost, case((has_price, _IMPOSSIBLE)))),
        (has_price, charged),
        else_=null(),
    )
    return and_(col(Attempt.outcome).is_not(None), cost.is_distinct_from(expected))


def prices_of(session: Session, batch: Batch, *, most: int = PRICES) -> list[str]:
    """Return the different price snapshots of a batch's attempts, the most frequent first."""
    count = func.count()
    snapshots = (
        select(col(Attempt.price))
        .where(col(Attempt.batch_id) == batch.id, col(Attempt.price).is_not(None))
        .group_by(col(Attempt.price))
        .order_by(count.desc())
        .limit(most)
    )
    found = session.connection().execute(snapshots).scalars()
    return [snapshot for snapshot in found if snapshot is not None]


def _by_price(prices: Iterable[str]) -> Any:
    """Return what the tokens of an attempt cost; its own cost where the price is not one of these."""
    costs = [(literal(snapshot), _cost_by(snapshot)) for snapshot in prices]
    own = col(Attempt.cost_nanos)
    return case(*costs, value=col(Attempt.price), else_=own) if costs else own


def _cost_by(snapshot: str) -> Any:
    try:
        return cost_by(Price.from_json(snapshot))
    except (msgspec.DecodeError, ValueError):
        return literal(_IMPOSSIBLE, BigInt)


def cost_by(price: Price) -> Any:
    """Return what an attempt's tokens cost at a price, as `Price.cost_nanos` works it out.

    Raises:
        ValueError: it is no price, for it has no rates.
    """
    base, *dearer = price.tiers
    total = TOKENS[0] + TOKENS[1] + TOKENS[2]
    tiers = [(total > threshold, _cost_at(rates)) for threshold, rates in reversed(dearer)]
    return case(*tiers, else_=_cost_at(base[1])) if tiers else _cost_at(base[1])


def _cost_at(rates: Rates) -> Any:
    """Return the cost at some rates as `Price.cost_nanos` rounds it, without leaving 64 bits.

    A rate is so many whole nano-dollars for a token, and a rest that hardly any has.
    """
    priced = list(
        zip(
            TOKENS, (rates.input, rates.cached_input, rates.cache_write, rates.output), strict=False
        )
    )
    wholes = [(count, rate // TOKENS_PER_RATE) for count, rate in priced]
    rests = [(count, rate % TOKENS_PER_RATE) for count, rate in priced]
    most = min(
        _SUMMED_COUNTS * MAX_CREDIBLE_TOKENS,
        2**62 // (len(priced) * max(1, *(whole for _, whole in wholes))),
    )
    cost = _sum(wholes)
    if any(rest for _, rest in rests):
        cost += (_sum(rests) + TOKENS_PER_RATE // 2) // literal(TOKENS_PER_RATE, BigInt)
    return case((or_(*(count > most for count, _ in priced)), _IMPOSSIBLE), else_=cost)


def _sum(terms: Iterable[tuple[Any, int]]) -> Any:
    total: Any = literal(0, BigInt)
    for count, factor in terms:
        if factor:
            total += count * literal(factor, BigInt)
    return total
