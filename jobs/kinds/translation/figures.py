"""Numbers: each of the source must be in the translation, in whatever way its language writes it.

`1,000.5` is `1.000,5` in German and `1 000,5` in French; the digits are what stays. A century may become
Roman or Chinese, twelve a word, 2 pm 14 h, and what stands beside "million" may be counted in ten
thousands: such are no losses.
"""

import re
import unicodedata

_NUMBER = re.compile(r"(?<!\d)\d{1,40}(?:[.,'’٫٬\u00a0\u2009\u202f ]\d{1,40}){0,12}")
_SPACE = re.compile(r"([ \u00a0\u2009\u202f])")
_GROUP = re.compile(r"[.,'’٫٬\u00a0\u2009\u202f ]")
_OFTEN_OTHERWISE = re.compile(
    r"\s?-?(?:hundred|thousand|million|billion|trillion|dozen|mill|mio|mrd|tsd|k\b|m\b|bn\b|lakh|crore"
    r"|['’]?s\b|/7\b"  # the 1990s are the nineties, 24/7 is around the clock
    r"|тыс|млн|млрд|百|千|万|萬|億|亿|兆|만|억)",
    re.IGNORECASE,
)
_ROMAN = re.compile(r"(?<!\w)[IVXLCDM]{2,9}(?![A-Z])|(?<![\w'’])[VXLCDM](?![\w'’])")
_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_OTHER_NUMERAL = re.compile(r"[〇零一二三四五六七八九十百千]{1,20}")
_CHINESE_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000}
_LARGEST_WORD = 12
"""Numbers up to this may be written as words."""
_GROUPED_DIGITS = 3


def lost_numbers(source: str, answer: str) -> list[str]:
    """Return the numbers of `source`, as it writes them, that `answer` doesn't have; in linear time.

    One up to twelve may have become a word, and a number that stands twice may stand once.
    """
    asked = _asked(source)
    if not asked:
        return []
    found = _digits_of(answer)
    lost = {written: digits for written, digits in asked.items() if digits not in found}
    if not lost:
        return []
    found |= {str(_roman(numeral[0])) for numeral in _ROMAN.finditer(answer)}
    found |= {_chinese(numeral[0]) for numeral in _OTHER_NUMERAL.finditer(answer)}
    return [written for written, digits in lost.items() if digits not in found]


def _asked(source: str) -> dict[str, str]:
    """Return the numbers that a translation must have, with their digits."""
    asked: dict[str, str] = {}
    for number in _NUMBER.finditer(source):
        *others, last = _separate(number[0])
        written = others if _OFTEN_OTHERWISE.match(source, number.end()) else [*others, last]
        asked.update(
            (each, digits) for each in written if not _may_be_word(digits := _digits(each))
        )
    return asked


def _may_be_word(digits: str) -> bool:
    return len(digits) <= len(str(_LARGEST_WORD)) and int(digits) <= _LARGEST_WORD


def _digits_of(text: str) -> set[str]:
    found: set[str] = set()
    for number in _NUMBER.finditer(text):
        # "on 3 12 people" may be read as one number or as two.
        found.add(_digits(number[0]))
        found.update(_digits(part) for part in _GROUP.split(number[0]))
        found.update(map(_digits, _separate(number[0])))
    return found


def _separate(written: str) -> list[str]:
    """Return the numbers of a run of digits: a space parts only thousands, `2024 2025` are two."""
    numbers: list[str] = []
    space = ""
    for part in _SPACE.split(written):
        if part.isspace():
            space = part
        elif numbers and _length(numbers[-1]) <= _GROUPED_DIGITS == _length(part):
            numbers[-1] += space + part
        else:
            numbers.append(part)
    return numbers


def _length(written: str) -> int:
    """Return how many digits the first group of a number has."""
    return len(_GROUP.split(written, maxsplit=1)[0])


def _digits(written: str) -> str:
    """Return the value's digits in ASCII: without separators, and zeros that only fill up."""
    *groups, last = _GROUP.split(written)
    if groups and len(last) != _GROUPED_DIGITS:
        last = last.rstrip("0٠")  # 2.50 is 2.5
    digits = "".join(str(unicodedata.digit(sign)) for sign in "".join(groups) + last)
    return digits.lstrip("0") or "0"


def _roman(numeral: str) -> int:
    total = last = 0
    for letter in reversed(numeral):
        value = _ROMAN_VALUES[letter]
        total += value if value >= last else -value
        last = max(last, value)
    return total


def _chinese(numeral: str) -> str:
    """Return the digits of a numeral such as 二十一, or of one that is spelt like 二〇二四."""
    if not any(sign in _CHINESE_UNITS for sign in numeral):
        return "".join(str(_CHINESE_DIGITS[sign]) for sign in numeral).lstrip("0") or "0"
    total = digit = 0
    for sign in numeral:
        if sign in _CHINESE_UNITS:
            total += (digit or 1) * _CHINESE_UNITS[sign]
            digit = 0
        else:
            digit = _CHINESE_DIGITS[sign]
    return str(total + digit)
