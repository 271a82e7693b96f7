"""A cursor comes back as it was given out; anything else is refused as what it is."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import decode_cursor, encode_cursor
from jobs.errors import InvalidParameter


@given(st.integers(0, 10**18 - 1))
def test_a_cursor_leads_back_to_its_position(position: int) -> None:
    cursor = encode_cursor(position)
    assert decode_cursor(cursor) == position
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=100))
def test_a_text_is_a_position_or_refused_and_never_breaks(text: str) -> None:
    try:
        assert decode_cursor(text) >= 0
    except InvalidParameter as error:
        assert "next_cursor" in error.message  # noqa: PT017 - either is right


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "é", "!", "a", "12", *map(encoded, [b"1:", b"2:7", b"1:-7", b"1:7x", b"1:" + b"9" * 19])],
)
def test_what_is_none_of_ours_is_an_invalid_parameter(cursor: str) -> None:
    with pytest.raises(InvalidParameter, match="cursor: expected a `next_cursor`"):
        decode_cursor(cursor)
