"""Characters that a name must not have: what is not seen, or changes how the rest is seen."""

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
