"""What a budget is tried with: where the rows are, how many race for it, how much it allows."""

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchmarks.cases import Store


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """A batch whose jobs would cost a hundred times its budget, and calls that all want to leave.

    A call's worst case is about three times its price, so the last of the money is used by what calls
    in flight leave over. The gate's Redis is emptied every `flush_every_s`.
    """

    stores: Sequence[Store] = tuple(Store)
    jobs: int = 200_000
    cap_usd: str = "0.148"
    workers: int = 8
    in_flight: int = 1_600
    latency: str = "uniform:3000,50"
    flush_every_s: float = 3.0


SMALL_BUDGET = BudgetPlan(
    stores=(Store.SQLITE,),
    jobs=20_000,
    cap_usd="0.0148",
    workers=2,
    in_flight=400,
    latency="uniform:500,50",
    flush_every_s=1.0,
)
"""What CI runs."""
