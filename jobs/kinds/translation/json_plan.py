"""The calls of a translation of JSON: its texts, some at a time, as a flat object in and out."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from jobs.exchange import Answer, ModelRequest
from jobs.kinds.answers import no_answer
from jobs.kinds.kind import Bad, Good, Plan, Verdict
from jobs.kinds.schemas import judge_json, read_schema
from jobs.kinds.translation.checks import Piece, check_piece, verdict
from jobs.kinds.translation.glossary import Term
from jobs.kinds.translation.json_strings import every_text, has_words, texts_of, with_texts
from jobs.kinds.translation.languages import base_of, detect
from jobs.kinds.translation.line import (
    TranslationLine,
    examples_of,
    glossary_of,
    part_tokens_of,
    request_of,
)
from jobs.kinds.translation.prompt import UNKNOWN_LANGUAGE, system_text, turns
from jobs.kinds.translation.protection import protect, words_of
from jobs.kinds.translation.splitting import framed, split
from jobs.strict_json import read_strict
from jobs.tokens import estimate_tokens

MOST_TEXTS = 50
"""Of one call: a small model loses count, and providers bound the properties of a schema."""

TOKENS_PER_TEXT = 6
"""Its key, quotes and comma."""


class _Entry(NamedTuple):
    text: str
    before: str
    piece: Piece
    after: str


class JsonPlan(Plan):
    """The texts of a JSON value, each once, in parts of many; a long one is cut like any text."""

    def __init__(self, line: TranslationLine) -> None:
        self._line = line
        self._glossary = glossary_of(line)
        self._examples = examples_of(line)
        self._value = read_strict(line.text)
        self._parts = [*self._grouped()]

    @cached_property
    def requests(self) -> tuple[ModelRequest, ...]:
        """The requests of all parts; none depends on another's answer."""
        return tuple(map(self._request, self._parts))

    @property
    def judged_by(self) -> Any:
        """The whole line, but for its name and whom it asks."""
        return msgspec.structs.replace(self._line, custom_id="", model="")

    def request(self, kept: Sequence[Any]) -> ModelRequest:
        """Return the request of the next part."""
        return self._request(self._parts[len(kept)])

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Return the translations of the part's texts, in order, or what is wrong with them."""
        part = self._parts[len(kept)]
        if (bad := no_answer(answer)) is not None:
            return bad
        given = judge_json(answer.text, read_schema(msgspec.json.encode(_schema_of(len(part)))))
        if isinstance(given, Bad):
            return given
        checked = [
            check_piece(entry.piece, given.output[str(number)])
            for number, entry in enumerate(part, 1)
        ]
        output = [piece.text for piece in checked]
        return verdict(
            self._line, _words_of(part), checked, self._terms(part), Good(output, given.mended)
        )

    def join(self, kept: Sequence[Any]) -> Verdict:
        """Return the value with its texts translated."""
        translated: dict[str, str] = {}
        entries = [entry for part in self._parts for entry in part]
        texts = [text for part in kept for text in part]
        for entry, text in zip(entries, texts, strict=True):
            whole = translated.get(entry.text, "") + entry.before + text + entry.after
            translated[entry.text] = whole
        return Good(with_texts(self._value, translated))

    def recheck(self, output: Any, was: Plan) -> Verdict | None:
        """Judge every text as a piece of one part; None if the value has other texts than its source."""
        if not isinstance(was, JsonPlan):
            return None
        sources, translations = [*every_text(self._value)], [*every_text(output)]
        if len(sources) != len(translations):
            return None
        pairs = {
            text: other
            for text, other in zip(sources, translations, strict=True)
            if has_words(text)
        }
        pieces = [
            Piece(hidden.text, hidden, "json")
            for hidden in (protect(text, "json") for text in pairs)
        ]
        checked = [
            check_piece(piece, piece.protected.hidden(other))
            for piece, other in zip(pieces, pairs.values(), strict=True)
        ]
        words = "\n".join(words_of(piece.shown) for piece in pieces)
        terms = [] if self._glossary is None else self._glossary.terms_in(words)
        return verdict(self._line, words, checked, terms, Good(output))

    def _grouped(self) -> Iterator[list[_Entry]]:
        part_tokens = part_tokens_of(self._line)
        group: list[_Entry] = []
        tokens = 0
        for entry in self._entries(part_tokens):
            own_tokens = TOKENS_PER_TEXT + estimate_tokens(entry.piece.shown)
            if group and (tokens + own_tokens > part_tokens or len(group) == MOST_TEXTS):
                yield group
                group, tokens = [], 0
            group.append(entry)
            tokens += own_tokens
        yield group

    def _entries(self, part_tokens: int) -> Iterator[_Entry]:
        for text in filter(has_words, texts_of(self._value)):
            protected = protect(text, "json")
            language = self._line.source or detect(words_of(protected.text)) or UNKNOWN_LANGUAGE
            for cut in split(protected.text, part_tokens, base_of(language)):
                before, shown, after = framed(cut)
                yield _Entry(text, before, Piece(shown, protected, "json"), after)

    def _request(self, part: Sequence[_Entry]) -> ModelRequest:
        shown = _object_of([entry.piece.shown for entry in part])
        examples = {_object_of([one]): _object_of([other]) for one, other in self._examples.items()}
        system = system_text(self._line, shown, self._terms(part), has_context=False)
        messages = turns(self._line, examples, None, shown)
        return request_of(self._line, system, messages, _schema_of(len(part)))

    def _terms(self, part: Sequence[_Entry]) -> list[Term]:
        return [] if self._glossary is None else self._glossary.terms_in(_words_of(part))


def _words_of(part: Sequence[_Entry]) -> str:
    return "\n".join(words_of(entry.piece.shown) for entry in part)


def _object_of(texts: Sequence[str]) -> str:
    return msgspec.json.encode({str(number): text for number, text in enumerate(texts, 1)}).decode()


def _schema_of(count: int) -> dict[str, Any]:
    keys = [str(number) for number in range(1, count + 1)]
    return {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
        "additionalProperties": False,
    }
