"""The form of a text, which its translation must have: lines, blocks of Markdown, elements of HTML."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

from jobs.kinds.translation.splitting import framed


class Shaped(NamedTuple):
    """An answer in the form of its source; or why it isn't (`fault`), or what was put right."""

    text: str
    mended: str | None = None
    fault: str | None = None


def shaped(source: str, answer: str, form: str) -> Shaped:
    """Return `answer` in the form of `source`, both with tokens, as its format demands; linear."""
    if form == "markdown":
        return _same_line_ends(source, answer, _block_fault(source, answer))
    if form == "html":
        return _same_line_ends(source, answer, _element_fault(source, answer))
    return _line_by_line(source, answer)


def _line_by_line(source: str, answer: str) -> Shaped:
    """Lines stay lines: blank ones and indentation are the source's, if as many others are there."""
    lines, given = source.split("\n"), answer.replace("\r\n", "\n").split("\n")
    texts = [line.strip() for line in given if line.strip()]
    expected = sum(1 for line in lines if line.strip())
    if len(texts) != expected:
        return Shaped(
            answer,
            fault=f"the answer has {len(texts):,} lines with text, the source {expected:,}; each line "
            "must stay one line",
        )
    blank = [not line.strip() for line in lines]
    mended = (
        None if blank == [not line.strip() for line in given] else "blank lines as in the source"
    )
    following = iter(texts)
    kept = (
        line if is_blank else dressed(line, next(following))
        for line, is_blank in zip(lines, blank, strict=True)
    )
    return Shaped("\n".join(kept), mended)


def dressed(line: str, text: str) -> str:
    """Return `text` with the blanks around a line, its end included."""
    before, _core, after = framed(line)
    return f"{before}{text}{after}"


def _same_line_ends(source: str, answer: str, fault: str | None) -> Shaped:
    """Give back the carriage returns that a model left out, and take away those that it invented."""
    if "\r\n" not in source:
        answer = answer.replace("\r\n", "\n")
    elif "\r\n" not in answer:
        answer = answer.replace("\n", "\r\n")
    return Shaped(answer, fault=fault)


_HEADING = re.compile(r"\s{0,3}(#{1,6})(?:\s|$)")
_ITEM = re.compile(r"\s*(?:[-*+•]|(\d{1,9})[.)])\s")
_RULE = re.compile(r"\s{0,3}(?:[-*_=]\s{0,3}){3,}$")


def _block_fault(source: str, answer: str) -> str | None:
    pairs = zip_longest(_blocks(source), _blocks(answer), fillvalue="nothing")
    for number, (expected, given) in enumerate(pairs, 1):
        if expected != given:
            return (
                f"block {number:,} of the text is {expected} in the source and {given} in the answer; "
                "headings, list items, quotations, table rows and paragraphs must stay what they are"
            )
    return None


def _blocks(text: str) -> Iterator[str]:
    """Yield what each block is; a line that only goes on with the one before is none."""
    last = ""
    for line in text.split("\n"):
        block = _block(line)
        if block and not (block == "a paragraph" and last) and not block == last == "a quotation":
            yield block
        last = block


def _block(line: str) -> str:
    stripped = line.strip()
    if not stripped:
        return ""
    if heading := _HEADING.match(line):
        return f"a heading of level {len(heading[1])}"
    if _RULE.match(line):
        return "a rule"
    if item := _ITEM.match(line):
        return "a numbered item" if item[1] else "a list item"
    if stripped.startswith(">"):
        return "a quotation"
    return "a table row" if stripped.startswith("|") else "a paragraph"


_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]{0,60})(?:\s[^<>]{0,40})?>")
_BLOCK_NAMES = (
    "address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main nav ol option p section select "
    "summary table tbody td tfoot th thead title tr ul"
)
_BLOCK_TAGS = frozenset(_BLOCK_NAMES.split())
_VOID_NAMES = "area base br col embed hr img input link meta source track wbr"
_VOID = frozenset(_VOID_NAMES.split())


def _element_fault(source: str, answer: str) -> str | None:
    expected, given = [*_block_tags(source)], [*_block_tags(answer)]
    if expected != given:
        place = next(
            (
                i
                for i, (one, other) in enumerate(zip(expected, given, strict=False))
                if one != other
            ),
            min(len(expected), len(given)),
        )
        wanted = expected[place] if place < len(expected) else "none"
        return f"the tags are in another order: the {place + 1:,}th of a block must be {wanted}"
    if _is_nested(source) and not _is_nested(answer):
        return "the tags do not close in the order in which they open, as they do in the source"
    return None


def _block_tags(text: str) -> Iterator[str]:
    for slash, name in _tags(text):
        if name in _BLOCK_TAGS:
            yield f"<{slash}{name}>"


def _is_nested(text: str) -> bool:
    opened: list[str] = []
    for slash, name in _tags(text):
        if name in _VOID:
            continue
        if not slash:
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


def _tags(text: str) -> Iterator[tuple[str, str]]:
    for tag in _TAG.finditer(text):
        if not tag[0].endswith("/>"):
            yield tag[1], tag[2].lower()
