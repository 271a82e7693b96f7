"""Cursors of lists: opaque to the caller, so that what they hold may change."""

import base64
import binascii

from jobs.errors import InvalidParameter


def encode_cursor(*place: int) -> str:
    """Return a cursor that continues after a place, which is one number or several."""
    text = ":".join(str(number) for number in (len(place), *place))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the place of a cursor that is one number.

    Raises:
        InvalidParameter: it is not one of ours.
    """
    (position,) = _numbers(cursor, 1)
    return position


def decode_pair(cursor: str) -> tuple[int, int]:
    """Return the place of a cursor that is two numbers. Raises as `decode_cursor` does."""
    first, second = _numbers(cursor, 2)
    return first, second


def _numbers(cursor: str, count: int) -> list[int]:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        kind, *place = raw.split(b":")
        if kind != b"%d" % count or len(place) != count:
            raise ValueError
        if not all(number.isdigit() and len(number) <= 18 for number in place):
            raise ValueError
    except (ValueError, binascii.Error):
        raise InvalidParameter("cursor: expected a `next_cursor` of an earlier answer") from None
    return [int(number) for number in place]
