"""Subtitles, SubRip or WebVTT: only the texts of the cues are translated, all else stays byte for byte."""

import re
from collections.abc import Iterator

from jobs.kinds.translation.structure import dressed

_TIMES = re.compile(r"\s{0,20}(?:\d{1,4}:)?\d{1,2}:\d{2}[.,]\d{1,3}\s{1,20}-->\s{1,20}\d")


def has_cues(text: str) -> bool:
    """Return whether there is a cue with a text."""
    return any(is_text for is_text, _line in _lines(text))


def cue_texts(text: str) -> str:
    """Return the texts of the cues: each of their lines a line, and a blank line between two cues."""
    cues: list[list[str]] = [[]]
    for is_text, line in _lines(text):
        if is_text:
            cues[-1].append(line.strip())
        elif cues[-1]:
            cues.append([])
    return "\n\n".join("\n".join(cue) for cue in cues if cue)


def with_cue_texts(text: str, translated: str) -> str:
    """Return `text` with the lines of `translated`, which are as many as those of `cue_texts`."""
    lines = iter([line for line in translated.split("\n") if line.strip()])
    return "".join(
        dressed(line, next(lines).strip()) if is_text else line for is_text, line in _lines(text)
    )


def _lines(text: str) -> Iterator[tuple[bool, str]]:
    """Yield every line with its end, and whether it is a cue's text: one below times, up to a blank."""
    in_cue = False
    for line in re.findall(r"[^\n]*\n|[^\n]+", text):
        if _TIMES.match(line):
            in_cue = True
            yield False, line
        elif not line.strip():
            in_cue = False
            yield False, line
        else:
            yield in_cue, line
