"""Money goes in and out as decimal text and is a whole number of nano-dollars in between."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.money import MAX_DOLLARS, NANOS_PER_DOLLAR, format_usd, parse_usd

PARSED = {
    "0": 0,
    "0.00": 0,
    "12.50": 12_500_000_000,
    "0.000000001": 1,
    "1e-9": 1,
    "1E+2": 100_000_000_000,
    "0.1": 100_000_000,
    "0.1000000000000": 100_000_000,
    "-0": 0,
    str(MAX_DOLLARS): MAX_DOLLARS * NANOS_PER_DOLLAR,
}

REFUSED = {
    "": "not a decimal number",
    "+1": "not a decimal number",
    " 3": "not a decimal number",
    "3\n": "not a decimal number",
    "free": "not a decimal number",
    "1,50": "not a decimal number",
    "$1": "not a decimal number",
    "0x10": "not a decimal number",
    "1_0": "not a decimal number",
    "\u0661": "not a decimal number",
    "\uff11": "not a decimal number",
    "-0.01": "zero or more",
    "nan": "zero or more",
    "Infinity": "zero or more",
    "-inf": "zero or more",
    "1000000001": "at most 1000000000",
    "1e99": "at most 1000000000",
    "1e999999": "at most 1000000000",
    "0.0000000001": "nine decimal places",
    "1.0000000005": "nine decimal places",
}


@pytest.mark.parametrize("text", PARSED)
def test_a_decimal_is_read_exactly(text: str) -> None:
    assert parse_usd(text) == PARSED[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_amount_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[text]):
        parse_usd(text)


def test_a_refusal_repeats_no_more_than_a_glimpse() -> None:
    with pytest.raises(ValueError, match="decimal") as raised:
        parse_usd("x" * 10_000)
    assert len(str(raised.value)) < 100


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (12_345, "0.000012345"),
        (NANOS_PER_DOLLAR, "1.000000000"),
        (-1, "-0.000000001"),
        (-1_500_000_000, "-1.500000000"),
        (2**63 - 1, "9223372036.854775807"),
    ],
)
def test_an_amount_is_written_with_nine_places(nanos: int, text: str) -> None:
    assert format_usd(nanos) == text


@given(st.integers(0, MAX_DOLLARS * NANOS_PER_DOLLAR))
def test_what_was_written_reads_the_same(nanos: int) -> None:
    assert parse_usd(format_usd(nanos)) == nanos


@given(st.integers(-(2**63), 2**63 - 1))
def test_what_is_written_is_the_amount_in_dollars(nanos: int) -> None:
    assert Decimal(format_usd(nanos)) * NANOS_PER_DOLLAR == nanos


@pytest.mark.parametrize("text", ["0.1" + "0" * 30 + "1", "1e-999999999", "5." + "0" * 40 + "1"])
def test_no_place_is_too_far_behind_to_be_seen(text: str) -> None:
    with pytest.raises(ValueError, match="nine decimal places"):
        parse_usd(text)
    assert parse_usd("0.1" + "0" * 60) == 100_000_000
