"""How jobs are charged for, by the targets that may serve them."""

from dataclasses import dataclass
from datetime import datetime

from jobs.charging import Charging, charging_of
from jobs.configuration import Configuration
from jobs.prices import Price, PriceBook
from jobs.routing import Resolved, Target

NAMED = 100
"""Targets without a price that are named; a submission could make up a million."""


@dataclass(frozen=True, slots=True)
class Rating:
    """Of jobs that are sent to `target` first.

    `price` is its price, `prices` those of every target that may serve them; None where one is not
    known.
    """

    target: Target
    charging: Charging
    price: Price | None
    prices: tuple[Price, ...] | None


class Ratings:
    """The ratings at one moment, and which targets were asked for that have no price."""

    def __init__(self, configuration: Configuration, prices: PriceBook, at: datetime) -> None:
        self._providers = configuration.providers
        self._prices = prices
        self._at = at
        self._unpriced: dict[str, None] = {}

    def rating(self, target: Target, resolved: Resolved) -> Rating:
        """Return the rating of jobs that go to `target`, one of the resolved ones, first."""
        found = {possible: self._price(possible) for possible in resolved.targets}
        known = tuple(price for price in found.values() if price is not None)
        return Rating(
            target,
            charging_of(self._providers[target.provider]),
            found[target],
            known if len(known) == len(found) else None,
        )

    def unpriced(self) -> tuple[str, ...]:
        """Return the targets without a price as PROVIDER/NAME, the first `NAMED`."""
        return tuple(self._unpriced)

    def _price(self, target: Target) -> Price | None:
        price = self._prices.price(target.provider, target.model, self._at)
        if price is None and len(self._unpriced) < NAMED:
            self._unpriced[f"{target.provider}/{target.model}"] = None
        return price
