"""What a Content-Type says: the type of a body, and that its text is UTF-8."""

import re

from jobs.errors import UnsupportedMedia

UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})
"""Names of what is read; ASCII is a part of it."""

_CHARSET = re.compile(r"""\s*charset\s*=\s*["']?(?P<name>[^"'\s]*)["']?\s*""", re.IGNORECASE)
_SHOWN_CHARACTERS = 40


def media_type(content_type: str) -> str:
    """Return the type alone, in small letters; empty where there is none.

    Raises:
        UnsupportedMedia: the text is said to be in something else than UTF-8.
    """
    kind, *parameters = content_type.split(";")
    for parameter in parameters:
        charset = _CHARSET.fullmatch(parameter)
        if charset is not None and charset["name"].lower() not in UTF_8:
            named = charset["name"][:_SHOWN_CHARACTERS]
            raise UnsupportedMedia(f"charset {named!r} is not supported; expected utf-8")
    return kind.strip().lower()
