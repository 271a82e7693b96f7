"""What a call costs: a model's rates, the cost of a usage, and where rates come from.

All arithmetic is on integers. Rates are nano-dollars per million tokens, so a cost is the sum of
tokens times rates divided by a million, rounded half up once at the end.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Self

import msgspec
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, Provider, TieredPrices

from jobs.configuration import Configuration, PriceOverride
from jobs.errors import ConfigurationError
from jobs.exchange import Lane, Usage
from jobs.money import NANOS_PER_DOLLAR, parse_usd

TOKENS_PER_RATE = 1_000_000

TIER_DOUBT = 2
"""An estimate of the input may fall short by this factor where it decides about a dearer tier."""

OF_LANE: Mapping[Lane, Mapping[str, str] | None] = {
    Lane.LIVE: None,
    Lane.BATCH: {"processing": "batch"},
}
"""How genai-prices calls the lanes. A model without a variant for batches has its one price there."""

KNOWN_PRICES = 4096
"""Looked-up prices that are kept: models of a few providers, times the minutes of a busy hour."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens, for each of the disjoint counts of a usage."""

    input: int
    cached_input: int
    cache_write: int
    output: int

    def dearest_input(self) -> int:
        """The rate of an input token of which nobody knows yet how it will be billed."""
        return max(self.input, self.cached_input, self.cache_write)

    def uncached(self) -> Self:
        """Return the same rates where a prompt cache is of no use."""
        return type(self)(self.input, self.input, self.input, self.output)


@dataclass(frozen=True, slots=True)
class Price:
    """A model's price at one moment; its JSON is stored with each attempt.

    `tiers` are (threshold_tokens, rates), ascending, the first with threshold 0. The last tier whose
    threshold the total input exceeds applies to the whole request; the first one always does.
    """

    tiers: tuple[tuple[int, Rates], ...]

    def cost_nanos(self, usage: Usage) -> int:
        """Return what this usage costs, rounded half up."""
        rates = self._rates(usage.total_input_tokens)
        return _rounded(
            usage.input_tokens * rates.input
            + usage.cached_input_tokens * rates.cached_input
            + usage.cache_write_tokens * rates.cache_write
            + usage.output_tokens * rates.output
        )

    def worst_case_nanos(self, input_tokens: int, max_output_tokens: int) -> int:
        """Return the most that a call may cost: at the dearest rates that could apply to it.

        The counts themselves are taken as they are; tiers within `TIER_DOUBT` of the input count.
        """
        possible = [
            rates
            for threshold, rates in self.tiers
            if threshold == 0 or input_tokens * TIER_DOUBT > threshold
        ]
        return _rounded(
            input_tokens * max(rates.dearest_input() for rates in possible)
            + max_output_tokens * max(rates.output for rates in possible)
        )

    def cache_saved_nanos(self, usage: Usage) -> int:
        """Return how much less this usage costs than it would without a prompt cache.

        Below zero where a cache was written, at a dearer rate, and not read.
        """
        return self.uncached().cost_nanos(usage) - self.cost_nanos(usage)

    def uncached(self) -> Self:
        """Return the same price where every input token is billed as plain input."""
        return type(self)(tuple((threshold, rates.uncached()) for threshold, rates in self.tiers))

    @property
    def makes_caching_pay(self) -> bool:
        """Whether writing a prompt cache once and reading it once costs less than none of it.

        False also where nobody has told the rates of a cache.
        """
        rates = self.tiers[0][1]
        return rates.cache_write + rates.cached_input < 2 * rates.input

    def to_json(self) -> str:
        """Return `[[threshold,input,cached_input,cache_write,output],…]`."""
        rows = [
            (threshold, rates.input, rates.cached_input, rates.cache_write, rates.output)
            for threshold, rates in self.tiers
        ]
        return msgspec.json.encode(rows).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the price that `to_json` wrote."""
        rows = msgspec.json.decode(text, type=list[tuple[int, int, int, int, int]])
        return cls(tuple((threshold, Rates(*rates)) for threshold, *rates in rows))

    def _rates(self, total_input_tokens: int) -> Rates:
        applicable = self.tiers[0][1]
        for threshold, rates in self.tiers[1:]:
            if total_input_tokens > threshold:
                applicable = rates
        return applicable


class PriceBook:
    """Every price that is known: the configuration's own first, then those of genai-prices.

    A model without a price has None, never zero. Nothing is fetched: the prices are those of the
    installed genai-prices.

    Raises:
        ConfigurationError: a price of the configuration is finer than a nano-dollar, or too large.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._providers = configuration.providers
        self._overrides = {
            (name, lane): _override(name, price, lane)
            for name, price in configuration.prices.items()
            for lane in Lane
        }
        self._published = lru_cache(maxsize=KNOWN_PRICES)(self._look_up)

    def price(
        self, provider: str, model: str, at: datetime, lane: Lane = Lane.LIVE
    ) -> Price | None:
        """Return the price of `model` at our provider of this name, at that (aware) time.

        Where no price of native batches is known, theirs is that of live calls.
        """
        model = model.removeprefix("models/")
        own = self._overrides.get((f"{provider}/{model}", lane))
        if own is not None:
            return own
        # Prices change with the day; a few providers' with the time of day, to the minute.
        minute = at.astimezone(UTC).replace(second=0, microsecond=0)
        return self._published(provider, model, minute, lane)

    def _look_up(self, provider: str, model: str, at: datetime, lane: Lane) -> Price | None:
        publisher = self._publisher(provider)
        if publisher is None:
            return None
        published = publisher.find_model(model, all_providers=get_snapshot().providers)
        return (
            None if published is None else _published_price(published.get_prices(at, OF_LANE[lane]))
        )

    def _publisher(self, provider: str) -> Provider | None:
        """Find whose prices hold: by the provider's address, else by its exact name.

        So a server of one's own has a price only where it is named after the company whose models
        it passes on. (genai-prices itself also takes names that only contain a company's.)
        """
        snapshot = get_snapshot()
        if configured := self._providers.get(provider):
            with suppress(LookupError):
                return snapshot.find_provider(None, None, configured.base_url)
        name = "google" if provider == "gemini" else provider
        return next((known for known in snapshot.providers if known.id == name), None)


def _published_price(published: ModelPrice) -> Price | None:
    """Return what genai-prices publishes as a price of ours; None if text costs can't be told by it.

    Some open-weight models have an empty price there, which calculates as zero. A few models charge
    per request or by another rate for reasoning, which our rates don't express.
    """
    entry = published.input_mtok, published.output_mtok
    if None in entry or published.requests_kcount or published.output_reasoning_mtok:
        return None
    starts = {0}
    columns = (
        published.input_mtok,
        published.cache_read_mtok,
        published.cache_write_mtok,
        published.output_mtok,
    )
    for column in columns:
        if isinstance(column, TieredPrices):
            starts.update(tier.start for tier in column.tiers)
    tiers = tuple((start, _rates_above(columns, start)) for start in sorted(starts))
    return Price(tiers) if any(rates.input or rates.output for _, rates in tiers) else None


def _rates_above(columns: Iterable[Decimal | TieredPrices | None], start: int) -> Rates:
    """Return the rates of a request whose total input is just above `start`."""
    input_rate, cached_input, cache_write, output = (
        None if column is None else _rate_above(column, start) for column in columns
    )
    assert input_rate is not None
    assert output is not None
    return Rates(
        input=input_rate,
        # Tokens without a rate of their own are billed as plain input.
        cached_input=input_rate if cached_input is None else cached_input,
        cache_write=input_rate if cache_write is None else cache_write,
        output=output,
    )


def _rate_above(column: Decimal | TieredPrices, start: int) -> int:
    if isinstance(column, TieredPrices):
        dollars = column.base
        for tier in column.tiers:
            # The base is the rate of the first tier, also where a tier would start at 0.
            if 0 < tier.start <= start:
                dollars = tier.price
    else:
        dollars = column
    # A handful of a reseller's prices carry the noise of binary floats far beyond a nano-dollar.
    return int((dollars * NANOS_PER_DOLLAR).to_integral_value())


def _override(name: str, price: PriceOverride, lane: Lane) -> Price:
    entries = (price.input, price.cached_input, price.cache_write, price.output)
    if lane is Lane.BATCH and price.batch_input is not None:
        entries = (
            price.batch_input,
            price.batch_cached_input,
            price.batch_cache_write,
            price.batch_output or price.output,
        )
    try:
        input_rate, cached_input, cache_write, output = (
            None if entry is None else parse_usd(entry) for entry in entries
        )
    except ValueError as error:
        raise ConfigurationError(f"price {name!r}: {error}") from error
    assert input_rate is not None
    assert output is not None
    rates = Rates(
        input=input_rate,
        cached_input=input_rate if cached_input is None else cached_input,
        cache_write=input_rate if cache_write is None else cache_write,
        output=output,
    )
    return Price(((0, rates),))


def _rounded(rate_tokens: int) -> int:
    return (rate_tokens + TOKENS_PER_RATE // 2) // TOKENS_PER_RATE
