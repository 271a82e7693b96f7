"""Amounts of dollars in bodies: decimal strings, never numbers, which JSON readers take for floats."""

from typing import Annotated

from pydantic import AfterValidator

from jobs.money import parse_usd


def _checked(text: str) -> str:
    parse_usd(text)
    return text


UsdOrNone = Annotated[str, AfterValidator(_checked)] | None
"""A decimal string of dollars such as `"12.50"`; null for no limit."""


def nanos_of(amount: str | None) -> int | None:
    """Return the nano-dollars of an amount that was checked."""
    return None if amount is None else parse_usd(amount)
