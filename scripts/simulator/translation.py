"""A request for a translation, as the simulated model reads it, and the honest answer to it.

The answer is no translation of what the text says, but has what can be judged of one without knowing both
languages: real prose of the target language, about as much of it, line by line, with every placeholder,
number, address and tag that the source has, and with the terms that the request demands.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from zlib import crc32

import orjson

from scripts.simulator.sentences import SENTENCES

_TASK = re.compile(
    r"Translate the user's text(?: from [^.]{1,60}?)? into (?P<target>[A-Z][a-z]{1,20})\b"
)
_TERMS = re.compile(r"Use these terms: (?P<terms>[^.]+)\.")
_LEAD = re.compile(r"\s*(?:(?:[#>*+-]+|\d+[.)])\s+)*")
KEPT = re.compile(
    r"\[job:[^\]]*\]|\{\{?[^{}\n]*\}?\}|%\(\w+\)[a-z]|%[sd]|</?[A-Za-z][^<>\n]*>|https?://\S*\w|`[^`\n]+`"
    r"|\d+(?:[.,:/-]\d+)*"
)

_OBJECT = '{"'
"""How a JSON object begins, and no placeholder."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What is to be translated. `target` is a language of `SENTENCES`; `terms` are asked for by words."""

    text: str
    target: str
    terms: Mapping[str, str]

    @property
    def kept(self) -> list[str]:
        """What of the text must stand in an answer as it is, in order."""
        return KEPT.findall(self.text)

    @property
    def placeholders(self) -> list[str]:
        """What a program will fill in or put back, such as `{name}` and `<x1/>`."""
        return [token for token in self.kept if token[0] in "{%<"]

    @property
    def numbers(self) -> list[str]:
        """The numbers of a text; those of a JSON object aren't told from its keys."""
        return [] if self.text.startswith(_OBJECT) else [t for t in self.kept if t[0].isdigit()]


def read_translation(instructions: str, text: str) -> Translation | None:
    """Return the translation of `text` that is asked for; None if none is, or into an unknown language."""
    task = _TASK.match(instructions)
    if task is None or task["target"] not in SENTENCES:
        return None
    found = _TERMS.search(instructions)
    pairs = found["terms"].split("; ") if found else []
    terms = dict(pair.split(" = ", 1) for pair in pairs if " = " in pair)
    return Translation(text, task["target"], terms)


def translate(task: Translation) -> str:
    """Return the honest answer, line by line: so it is the same in whichever parts lines are asked for.

    Nor does it matter whether what must stand as it is stands there itself or a sign for it. Of a JSON
    object, its texts are translated each and its keys stay.
    """
    return _by_texts(
        task.text,
        lambda text: "\n".join(_line(line, task.target, task.terms) for line in text.split("\n")),
    )


def _by_texts(text: str, translated: Callable[[str], str]) -> str:
    if text.startswith(_OBJECT):
        texts = orjson.loads(text)
        return orjson.dumps({key: translated(value) for key, value in texts.items()}).decode()
    return translated(text)


def _line(line: str, target: str, terms: Mapping[str, str]) -> str:
    lead = _LEAD.match(line)
    assert lead is not None  # it matches nothing, too
    core = line[lead.end() :]
    said = KEPT.sub("", core)
    letters = sum(map(str.isalpha, said))
    if not letters:
        return line
    wanted = [term for source, term in terms.items() if source.lower() in core.lower()]
    chance = crc32(said.encode(errors="surrogatepass"))
    words = [*_prose(target, chance, letters), *wanted]
    return f"{lead[0]}{' '.join([*words, *KEPT.findall(core)])}"


def _prose(language: str, chance: int, letters: int) -> list[str]:
    """Return words of the language with so many letters or a few more, from where a sentence begins."""
    sentences = SENTENCES[language]
    first = chance % len(sentences)
    ordered = sentences[first:] + sentences[:first]
    words = [word for sentence in ordered for word in sentence.split()]
    has, count = 0, 0
    while has < letters:
        has += sum(map(str.isalpha, words[count % len(words)]))
        count += 1
    repeats = -(-count // len(words))
    return list(islice(words * repeats, count))
