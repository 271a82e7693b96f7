"""JSON as it is meant: what lenient readers let pass, or settle in silence, is named with its place.

A doubled key is the last one to some readers and the first one to others, and a line is read by
more than one of them on its way.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Never

MAX_KEYS = 10_000
"""Of one object: twice what the largest schemas that providers take have in all."""

MAX_DEPTH = 200
"""Levels of nesting. Each Python gives up at another depth, and whoever walks a value at another one
still; what is read here can be walked on all of them."""

SHOWN_CHARACTERS = 80
"""Of a key that somebody made up."""


class LooseJson(ValueError):
    """A text is not the JSON that it must be.

    `line` and `column` (a character) count from 1, 0 where they aren't known; `key` is the one that
    is at fault, if one is. `what` is the message without the place, for whoever has other words for it.
    """

    def __init__(
        self, code: str, message: str, *, line: int = 0, column: int = 0, key: str = ""
    ) -> None:
        self.what = message
        if line:
            message = f"{message} (line {line}, column {column})"
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line
        self.column = column
        self.key = key


def read_strict(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        LooseJson: it is no JSON; an object has a key twice or too many of them; a number is none,
            such as NaN, or none that fits; or it is nested too deeply.
    """
    try:
        value = _decode(text)
    except json.JSONDecodeError as error:
        raise LooseJson(
            "invalid_json", _sentence(error.msg), line=error.lineno, column=error.colno
        ) from None
    except LooseJson:
        raise
    except ValueError:  # Python's limit of an integer's digits
        raise LooseJson(
            "number_out_of_range", "has an integer of thousands of digits; expected fewer"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    # Most texts have fewer brackets than that in all.
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
        raise _too_deep()
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for holder in level
            if isinstance(holder, list | dict)
            for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return bool(level)


def _too_deep() -> LooseJson:
    return LooseJson("too_deep", f"is nested too deeply; expected at most {MAX_DEPTH} levels")


def place_of(value: Any, is_bad: Callable[[str], bool]) -> str | None:
    """Return where in `value` the first bad text is, as `messages[0].content`; None if nowhere.

    A bad key is at its object's place.
    """
    return next(_places(value, "", is_bad), None)


def _places(value: Any, place: str, is_bad: Callable[[str], bool]) -> Iterator[str]:
    if isinstance(value, str):
        if is_bad(value):
            yield place
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{place}[{index}]", is_bad)
    elif isinstance(value, dict):
        for key, item in value.items():
            if is_bad(key):
                yield place
            else:
                named = key[:SHOWN_CHARACTERS]
                yield from _places(item, f"{place}.{named}" if place else named, is_bad)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        shown = key[:SHOWN_CHARACTERS]
        raise LooseJson(
            "duplicate_key", f"has the key {shown!r} twice; expected it once", key=shown
        )
    if len(found) > MAX_KEYS:
        raise LooseJson(
            "too_many_keys",
            f"has {len(found):,} keys in one object; expected at most {MAX_KEYS:,}",
        )
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise LooseJson("number_out_of_range", "has a number beyond 64 bits of floating point")
    return number


def _no_number(word: str) -> Never:
    raise LooseJson("invalid_number", f"has {word}, which is no number of JSON")


def _sentence(words: str) -> str:
    return words[:1].lower() + words[1:]


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_finite, parse_constant=_no_number
).decode
