"""What the simulated models cost, exactly: integers all the way, rounded once."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from scripts.simulator.calls import Answer

PICOS_PER_NANO = 1000

BATCH_DIVISOR = 2
"""All four providers take half the price for what is answered in a batch."""


@dataclass(frozen=True, slots=True)
class Price:
    """Pico-dollars per token: a millionth of the price in dollars per million tokens, times 10^6.

    Picos, because `$0.0375` per million tokens is 37.5 nano-dollars per token. What is read from a
    prompt cache, or written to it, costs the same as other input where it has no price.
    """

    input_picos: int
    output_picos: int
    cached_picos: int | None = None
    write_picos: int | None = None

    def cost_nanos(self, billed: Answer, divisor: int = 1) -> int:
        """Return the price of one call, or a `divisor`-th of it, rounded half up to nano-dollars."""
        picos = billed.input_tokens * self.input_picos + billed.output_tokens * self.output_picos
        if self.cached_picos is not None:
            picos += billed.cached_tokens * (self.cached_picos - self.input_picos)
        if self.write_picos is not None:
            picos += billed.cache_write_tokens * (self.write_picos - self.input_picos)
        unit = PICOS_PER_NANO * divisor
        return (picos + unit // 2) // unit


DEFAULT_PRICES = {
    "sim-small": Price(input_picos=100_000, output_picos=400_000),
    "sim-large": Price(input_picos=1_000_000, output_picos=4_000_000),
}
"""$0.10 in and $0.40 out, $1.00 in and $4.00 out per million tokens."""


def parse_price(text: str) -> tuple[str, Price]:
    """Read `MODEL=INPUT/OUTPUT[/CACHED[/WRITE]]`, in dollars per million tokens with six places at most.

    Raises:
        ValueError: not of that form, negative, or finer than a pico-dollar per token.
    """
    model, equals, amounts = text.rpartition("=")
    picos = [_picos(amount) for amount in amounts.split("/")] if model and equals else []
    if not 2 <= len(picos) <= 4:
        raise ValueError(f"price {text!r} is not MODEL=INPUT/OUTPUT[/CACHED[/WRITE]]")
    return model, Price(*picos)


def _picos(text: str) -> int:
    try:
        picos = Decimal(text) * 1_000_000
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a price in dollars per million tokens") from None
    if not picos.is_finite() or picos < 0 or picos != picos.to_integral_value():
        raise ValueError(f"{text!r} is negative or has more than six decimal places")
    return int(picos)
