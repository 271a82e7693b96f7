"""Scripts: a text that is too short to tell its language may still be in letters that can't be its own."""

from functools import lru_cache

import regex
from babel import Locale
from babel.core import get_global

FEWEST_LETTERS = 12
"""Of a text whose script is judged: a name or a word of another script may be all of a shorter one."""

MOST_FOREIGN = 0.9
"""Share of letters of another script above which a text is in that."""

READ_CHARACTERS = 2_000

_SIGNS = {"Hans": "Hani", "Hant": "Hani", "Jpan": "Hani|Hira|Kana", "Kore": "Hang|Hani"}
"""What CLDR's names for ways of writing stand for; the others are Unicode's own."""

_OFTEN_IN_OTHERS = frozenset(
    {"az", "bs", "ha", "kk", "ku", "ky", "ms", "mn", "pa", "sd", "sr", "tg", "tk", "tt", "ug", "uz"}
)
"""Languages that are written in more than one script; a tag may say which, as `sr-Latn` does."""

_LETTER = regex.compile(r"\p{L}")


def in_another_script(text: str, target: str) -> bool:
    """Return whether hardly a letter of `text` is of the script that the target language is written in."""
    own = _letters_of(target)
    if own is None:
        return False
    read = text[:READ_CHARACTERS]
    letters = len(_LETTER.findall(read))
    return letters >= FEWEST_LETTERS and letters - len(own.findall(read)) > MOST_FOREIGN * letters


@lru_cache(maxsize=256)
def _letters_of(tag: str) -> "regex.Pattern[str] | None":
    """Return what finds the letters of a language, None where it is not known which those are."""
    locale_tag = tag.replace("-", "_")
    parts = locale_tag.split("_")
    language = parts[0].lower()
    script = next(
        (part.title() for part in parts[1:] if part.title() in Locale("en").scripts), None
    )
    if script is None:
        if language in _OFTEN_IN_OTHERS:
            return None
        likely = get_global("likely_subtags").get(language, "").split("_")
        if len(likely) < len(("language", "script")):
            return None
        script = likely[1]
    names = _SIGNS.get(script, script).split("|")
    classes = "".join("\\p{Script=" + name + "}" for name in names)
    try:
        return regex.compile(f"[{classes}]")
    except regex.error:
        return None
