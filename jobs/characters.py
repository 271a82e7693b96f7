"""Characters of names and keys: what is not seen, or changes how the rest is seen, they must not have."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, formats (such as those that turn the direction of writing), surrogates, line ends."""

_JOINERS = frozenset("\u200c\u200d")
"""Scripts and emoji are spelt with these two."""


def has_hidden(text: str) -> bool:
    """Whether `text` has a control or format character."""
    # The first look is at the speed of C and settles it for nearly every text.
    return not text.isprintable() and any(
        unicodedata.category(char) in _HIDDEN and char not in _JOINERS for char in text
    )


IDEMPOTENCY_KEY = "1 to 255 printable ASCII characters"


def is_idempotency_key(text: str) -> bool:
    """Whether a text is what `IDEMPOTENCY_KEY` says."""
    return 1 <= len(text) <= 255 and text.isascii() and text.isprintable()
