"""Cursors of lists: opaque to the caller, so that what they hold may change.

They aren't signed: a place says nothing that the caller doesn't know, and counts only within the
batch that the request names, which must be the caller's own.
"""

import base64
import binascii
import re

from jobs.errors import InvalidCursor

_PAIR = re.compile(rb"2:([0-9]{1,9}):([0-9]{1,9})")


def encode_pair(first: int, second: int) -> str:
    """Return a cursor that continues after a place that is two numbers."""
    return base64.urlsafe_b64encode(b"2:%d:%d" % (first, second)).decode().rstrip("=")


def decode_pair(cursor: str) -> tuple[int, int]:
    """Return the place of a cursor that is two numbers.

    Raises:
        InvalidCursor: it is not one of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (ValueError, binascii.Error):
        raise InvalidCursor from None
    if (found := _PAIR.fullmatch(raw)) is None:
        raise InvalidCursor
    return int(found[1]), int(found[2])
