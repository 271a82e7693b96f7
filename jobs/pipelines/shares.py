"""How a run's budget is shared among its batches. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stake:
    """A batch of a run: what it has spent and reserved, and whether it may still spend.

    `needed_nanos` is what its smallest call needs that no room was left for; None if none was refused.
    """

    used_nanos: int
    goes_on: bool
    needed_nanos: int | None = None


def caps(budget_nanos: int, stakes: Sequence[Stake]) -> list[int]:
    """Return the cap of each batch, of which the latest stage's is the last one.

    It is what the batch has used and, of those that go on, an equal share of the rest. Where that is too
    little for a call, all of the rest goes to the latest that needs some: rows that are nearly done are
    finished before others are begun. The sum is the budget at most, unless more is used already.
    """
    room_nanos = max(0, budget_nanos - sum(stake.used_nanos for stake in stakes))
    sharing = [number for number, stake in enumerate(stakes) if stake.goes_on]
    share_nanos = room_nanos // len(sharing) if sharing else 0
    needy = [number for number in sharing if (stakes[number].needed_nanos or 0) > share_nanos]
    if needy:
        sharing, share_nanos = needy[-1:], room_nanos
    return [
        stake.used_nanos + (share_nanos if number in sharing else 0)
        for number, stake in enumerate(stakes)
    ]


def is_worth_it(present_nanos: int | None, wanted_nanos: int, used_nanos: int) -> bool:
    """Return whether a cap should be moved: by a tenth of what is left of it, or always down to nothing."""
    if present_nanos is None:
        return True
    left_nanos = max(present_nanos - used_nanos, 0)
    return abs(wanted_nanos - present_nanos) * 10 > left_nanos
