"""A cursor comes back as it was given out; anything else is refused as what it is."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import decode_pair, encode_pair
from jobs.errors import InvalidCursor


@given(st.integers(0, 999_999_999), st.integers(0, 999_999_999))
def test_a_cursor_leads_back_to_its_place(first: int, second: int) -> None:
    cursor = encode_pair(first, second)
    assert decode_pair(cursor) == (first, second)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=100))
def test_a_text_is_a_place_or_refused_and_never_breaks(text: str) -> None:
    try:
        assert decode_pair(text) >= (0, 0)
    except InvalidCursor as error:
        assert "next_cursor" in error.message  # noqa: PT017 - either is right


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *["", "é", "!", "a", "12", "9" * 9999],
        *map(encoded, [b"2:1:", b"1:7:7", b"2:-7:1", b"2:7:1x", b"2:1:2:3", b"2:1:" + b"9" * 19]),
    ],
)
def test_what_is_none_of_ours_is_an_invalid_cursor(cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="expected a `next_cursor`"):
        decode_pair(cursor)
