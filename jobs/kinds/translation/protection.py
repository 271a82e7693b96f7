"""What is hidden from the model, and put back into its answer: code, addresses, tags with attributes.

None of it is translated, some of it is long, and a model copies it with mistakes. `<x3/>` stands for
something whole, `<a id="3">` for an opening tag, whose closing one stays where a model expects it.
What it may well see, such as `{name}`, is only counted: `placeholders`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from jobs.kinds.translation.placeholders import placeholders, renamed, unlike

_TAG = r"<(?P<tag>[A-Za-z][\w:.-]{0,60})\s[^<>]{0,20000}>"
_ADDRESS = r"[^\s<>\"'`|\\^{}\[\]“”„«»‹›「」]"
_URL = rf"(?:(?:https?|ftp|file)://(?=[\w.\[/])|(?<![\w.])www\.){_ADDRESS}{{1,4000}}"
_EMAIL = r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"
_CODE = r"(?<!`)(?:`[^`\n]{1,2000}`|``(?!`)(?:[^`\n]|`(?!`)){1,2000}``)(?!`)"
_DESTINATION = r"(?<=\]\()(?:[^\s()<>]|\([^\s()<>]{0,200}\)){1,2000}(?=\)|[ \t]+[\"'(])"
"""Of a link or an image in Markdown: an address within the document's site has no scheme to know it by."""

_OTHER = r"\{\\[^{}\n]{1,80}\}|\{%[^{}\n]{1,400}%\}|<!\[CDATA\[|<![A-Za-z][^<>]{0,2000}>"
_MARK = r"(?:<|&lt;|＜)\s?[xX]\s?\d{1,9}\s?/?\s?(?:>|&gt;|＞)"
"""What would be read as a token of ours if it stood in an answer."""

_INLINE = re.compile(rf"{_TAG}|{_URL}|{_EMAIL}|{_CODE}|{_OTHER}|{_MARK}")
_INLINE_MARKDOWN = re.compile(rf"(?P<destination>{_DESTINATION})|{_INLINE.pattern}")

_TOKEN = re.compile(r"<x(\d{1,9})/>|<[A-Za-z][\w:.-]{0,60} id=\"(\d{1,9})\"\s?/?>")
_ANSWERED = re.compile(
    r"(?:<|&lt;|＜)\s?[xX]\s?(\d{1,9})\s?/?\s?(?:>|&gt;|＞)"
    r"|<[A-Za-z][\w:.-]{0,60}\s{1,3}id\s?=\s?[\"'“”«»]?(\d{1,9})[\"'“”«»]?\s?/?>"
)
"""A token as models write it who mean the same."""

_VISIBLE_TAG = re.compile(r"</?[A-Za-z][\w:.-]{0,60}\s?/?>|\{[^{}\n]{0,100}\}|%\(\w{1,60}\)[a-z]")
_FENCE = re.compile(r"^[ \t>]{0,20}(?P<marks>`{3,20}|~{3,20})", re.MULTILINE)
_OPAQUE = re.compile(r"<(?:(?P<name>script|style|pre|code|svg|math|textarea)\b|!--)", re.IGNORECASE)
_SENTENCE_END = ".,;:!?…)'\"。，、！？"


class Protected(NamedTuple):
    """A text to show to a model, and what its tokens stand for."""

    text: str
    originals: Mapping[int, str]

    def original(self, text: str) -> str:
        """Return a piece of `text` as the user wrote it."""
        return _TOKEN.sub(lambda token: self.originals.get(_number(token), token[0]), text)

    def hidden(self, answer: str) -> str:
        """Return an answer that has the originals in it with their tokens instead, as it was given."""
        numbers: dict[str, list[str]] = {}
        for token in _TOKEN.finditer(self.text):
            numbers.setdefault(self.originals.get(_number(token), ""), []).append(token[0])
        numbers.pop("", None)
        if not numbers:
            return answer
        longest_first = sorted(numbers, key=len, reverse=True)
        originals = re.compile("|".join(map(re.escape, longest_first)))
        # One that occurs more often than in the source is left as it is, and found to be too much.
        return originals.sub(
            lambda found: numbers[found[0]].pop(0) if numbers[found[0]] else found[0], answer
        )


class Restored(NamedTuple):
    """An answer with the originals in it, what is wrong with that, and what was put right."""

    text: str
    lost: list[str]
    invented: list[str]
    mended: str | None


def protect(text: str, form: str) -> Protected:
    """Return `text`, which is of this format, with tokens for what is not to be translated."""
    originals: dict[int, str] = {}
    shown: list[str] = []
    end = 0
    for start, stop, name in _hidden(text, form):
        number = len(originals) + 1
        originals[number] = text[start:stop]
        shown += (text[end:start], f'<{name} id="{number}">' if name else f"<x{number}/>")
        end = stop
    return Protected("".join((*shown, text[end:])), originals)


def restore(answer: str, shown: str, protected: Protected) -> Restored:
    """Return the answer to `shown`, a piece of the protected text, as the user is to have it.

    Everything that must survive is counted: tokens, placeholders, tags.
    """
    mended = None
    tokens = {_number(token): token[0] for token in _TOKEN.finditer(shown)}
    asked = Counter(_number(token) for token in _TOKEN.finditer(shown))
    given = Counter(_number(token) for token in _ANSWERED.finditer(answer))
    # Named as the model sees them, which may be told; and as the user does.
    lost = [
        f"{tokens[number]} for {protected.originals.get(number, '')}"
        for number in (asked - given).elements()
    ]
    invented = [tokens.get(number, f"<x{number}/>") for number in (given - asked).elements()]
    bare_source, bare_answer = _TOKEN.sub(" ", shown), _ANSWERED.sub(" ", answer)
    visible = unlike(placeholders(bare_source), placeholders(bare_answer))
    if any(visible) and (right := renamed(answer, *visible)) is not None:
        answer, mended, visible = right, "a placeholder was translated", ([], [])
    text = _ANSWERED.sub(lambda token: protected.originals.get(_number(token), token[0]), answer)
    return Restored(text, [*lost, *visible[0]], [*invented, *visible[1]], mended)


def words_of(text: str) -> str:
    """Return the piece of a protected text, or an answer to it, without tokens and tags."""
    return _VISIBLE_TAG.sub(" ", _ANSWERED.sub(" ", text))


def token_spans(text: str) -> Iterator[tuple[int, int]]:
    """Return where tokens stand: a long text isn't cut inside one."""
    return (token.span() for token in _TOKEN.finditer(text))


def _number(token: re.Match[str]) -> int:
    return int(token[1] or token[2])


def _hidden(text: str, form: str) -> Iterator[tuple[int, int, str | None]]:
    """Yield what is hidden, in order: start, end, and the name if it is an opening tag."""
    end = 0
    for start, stop in _blocks(text, form):
        yield from _inline(text, end, start, form)
        yield start, stop, None
        end = stop
    yield from _inline(text, end, len(text), form)


def _inline(text: str, start: int, stop: int, form: str) -> Iterator[tuple[int, int, str | None]]:
    inline = _INLINE_MARKDOWN if form == "markdown" else _INLINE
    for found in inline.finditer(text, start, stop):
        name = found["tag"]
        if name is not None:
            yield found.start(), found.end(), None if name.lower() == "x" else name
        elif found[0][0] in "<`{&＜" or found.groupdict().get("destination"):
            yield found.start(), found.end(), None
        else:
            yield found.start(), found.start() + len(_address(found[0])), None


def _address(found: str) -> str:
    """Return an address without the end of the sentence that it stands in."""
    address = found.rstrip(_SENTENCE_END)
    # https://en.wikipedia.org/wiki/Mill_(grinding)
    if address.count("(") > address.count(")") and found[len(address) :].startswith(")"):
        address += ")"
    return address


def _blocks(text: str, form: str) -> Iterator[tuple[int, int]]:
    if form == "markdown":
        return _fenced(text)
    return _opaque(text) if form == "html" else iter(())


def _fenced(text: str) -> Iterator[tuple[int, int]]:
    """Yield the fenced code blocks; the last one may have no end."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif fence["marks"].startswith(opened["marks"]):
            yield opened.start("marks"), fence.end()
            opened = None
    if opened is not None:
        yield opened.start("marks"), len(text)


def _opaque(text: str) -> Iterator[tuple[int, int]]:
    """Yield comments and the elements that hold no prose, in linear time."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters are longer in the other case
        lowered = text
    unclosed: set[str] = set()
    end = 0
    for opening in _OPAQUE.finditer(text):
        name = (opening["name"] or "").lower()
        if opening.start() < end or name in unclosed:
            continue
        closing = f"</{name}>" if name else "-->"
        found = lowered.find(closing, opening.end())
        if found < 0:
            unclosed.add(name)
            continue
        end = found + len(closing)
        yield opening.start(), end
