"""What the simulated models cost, exactly: integers all the way, rounded once."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

PICOS_PER_NANO = 1000


@dataclass(frozen=True, slots=True)
class Price:
    """Pico-dollars per token: a millionth of the price in dollars per million tokens, times 10^6.

    Picos, because `$0.0375` per million tokens is 37.5 nano-dollars per token.
    """

    input_picos: int
    output_picos: int

    def cost_nanos(self, input_tokens: int, output_tokens: int) -> int:
        """Return the price of one call, rounded half up to nano-dollars."""
        picos = input_tokens * self.input_picos + output_tokens * self.output_picos
        return (picos + PICOS_PER_NANO // 2) // PICOS_PER_NANO


DEFAULT_PRICES = {
    "sim-small": Price(input_picos=100_000, output_picos=400_000),
    "sim-large": Price(input_picos=1_000_000, output_picos=4_000_000),
}
"""$0.10 in and $0.40 out, $1.00 in and $4.00 out per million tokens."""


def parse_price(text: str) -> tuple[str, Price]:
    """Read `MODEL=INPUT/OUTPUT`, in dollars per million tokens with at most six decimal places.

    Raises:
        ValueError: not of that form, negative, or finer than a pico-dollar per token.
    """
    model, equals, amounts = text.rpartition("=")
    paid_in, slash, paid_out = amounts.partition("/")
    if not (model and equals and slash):
        raise ValueError(f"price {text!r} is not MODEL=INPUT/OUTPUT")
    return model, Price(_picos(paid_in), _picos(paid_out))


def _picos(text: str) -> int:
    try:
        picos = Decimal(text) * 1_000_000
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a price in dollars per million tokens") from None
    if not picos.is_finite() or picos < 0 or picos != picos.to_integral_value():
        raise ValueError(f"{text!r} is negative or has more than six decimal places")
    return int(picos)
