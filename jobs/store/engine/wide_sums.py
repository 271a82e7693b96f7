"""Adding up figures that may be damaged: SQLite ends a statement whose sum leaves 64 bits."""

from typing import Any

from sqlalchemy import case, func, literal, null

from jobs.tables import BigInt

MOST = 2**50
"""Of a figure that a row can have come by: a million dollars, and far more than any call's tokens."""

_HALF = 2**32


def sum_of_possible(figure: Any) -> Any:
    """Return the sum of what is possible; what is not is missing in it, and so contradicts a total."""
    is_possible = figure.between(literal(-MOST, BigInt), literal(MOST, BigInt))
    return func.coalesce(func.sum(case((is_possible, figure), else_=null())), 0)


def halves_of_sum(figure: Any) -> tuple[Any, Any]:
    """Return two sums of which `joined` makes the sum, whatever the figures are; of a short table."""
    half = literal(_HALF, BigInt)
    return func.coalesce(func.sum(figure // half), 0), func.coalesce(func.sum(figure % half), 0)


def joined(halves: Any) -> int:
    """Return the sum of which these are the halves."""
    high, low = halves
    return int(high) * _HALF + int(low)
