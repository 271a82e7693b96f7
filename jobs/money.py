"""Money as integer nano-dollars (billionths of a US dollar): parsing and printing, never a float."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation

NANOS_PER_DOLLAR = 1_000_000_000
MAX_DOLLARS = 1_000_000_000
"""A billion dollars still fits a 64-bit integer of nano-dollars nine times over."""


def parse_usd(text: str) -> int:
    """Return the nano-dollars of a decimal string such as `"12.50"`.

    Raises:
        ValueError: not a plain non-negative decimal number, finer than a nano-dollar, or too large.
    """
    try:
        # In a query a plus is a blank: who wrote one meant something else, or somebody else did.
        if text[:1] == "+" or text != text.strip():
            raise ValueError
        amount = read_decimal(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a decimal number of dollars") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError("an amount of dollars must be zero or more")
    if amount > MAX_DOLLARS:
        raise ValueError(f"an amount of dollars must be at most {MAX_DOLLARS}")
    # Decimal's own precision would round before it is asked what is finer.
    exact = Context(prec=len(text), Emin=MIN_EMIN, Emax=MAX_EMAX)
    nanos = amount.scaleb(9, exact)
    if nanos != nanos.to_integral_value():
        raise ValueError("an amount of dollars has at most nine decimal places")
    return int(nanos)


def read_decimal(text: str) -> Decimal:
    """Return the number that `text` is: `Decimal` alone also takes `1_0` and other scripts' digits.

    Raises:
        ValueError: it is none.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{text[:40]!r} is not a decimal number")
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text[:40]!r} is not a decimal number") from None


def format_usd(nanos: int) -> str:
    """Return nano-dollars as a decimal string with exactly nine places: `"0.000012345"`."""
    sign = "-" if nanos < 0 else ""
    dollars, rest = divmod(abs(nanos), NANOS_PER_DOLLAR)
    return f"{sign}{dollars}.{rest:09d}"


def short_usd(nanos: int) -> str:
    """Return nano-dollars for a sentence, with as many places as they need, two at least: `"5.00"`."""
    dollars, _, places = format_usd(nanos).partition(".")
    return f"{dollars}.{places.rstrip('0'):0<2}"


def format_known(nanos: int, unpriced: int) -> str | None:
    """Return a sum of which `unpriced` parts are not known: None where nothing of it is.

    Zero and something unknown is unknown: never "0".
    """
    return None if nanos == 0 and unpriced > 0 else format_usd(nanos)
