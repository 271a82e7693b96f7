"""Cursors of lists: opaque to the caller, so that what they hold may change."""

import base64
import binascii

from jobs.errors import InvalidParameter


def encode_cursor(position: int) -> str:
    """Return a cursor that continues after `position`."""
    return base64.urlsafe_b64encode(b"1:%d" % position).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the position of a cursor.

    Raises:
        InvalidParameter: it is not one of ours.
    """
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        version, _, position = raw.partition(b":")
        if version != b"1" or not position.isdigit() or len(position) > 18:
            raise ValueError
    except (ValueError, binascii.Error):
        raise InvalidParameter("cursor: expected a `next_cursor` of an earlier answer") from None
    return int(position)
