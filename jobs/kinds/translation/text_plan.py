"""The calls of one translation: one for each part of its text, each told how the part before ended."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import msgspec

from jobs.exchange import Answer, ModelRequest
from jobs.kinds.answers import loop, no_answer
from jobs.kinds.kind import Bad, Good, Plan, Remedy, Verdict
from jobs.kinds.translation.checks import Piece, check_piece, verdict
from jobs.kinds.translation.copies import repeated, said_twice
from jobs.kinds.translation.glossary import Term
from jobs.kinds.translation.languages import base_of, detect
from jobs.kinds.translation.line import (
    TranslationLine,
    examples_of,
    glossary_of,
    part_tokens_of,
    request_of,
)
from jobs.kinds.translation.prompt import (
    UNKNOWN_LANGUAGE,
    next_text,
    system_text,
    turns,
    without_more,
)
from jobs.kinds.translation.protection import protect, words_of
from jobs.kinds.translation.splitting import framed, last_sentences, split
from jobs.kinds.translation.subtitles import cue_texts, with_cue_texts
from jobs.tokens import estimate_tokens

CONTEXT_SENTENCES = 2
CONTEXT_CHARACTERS = 400
"""Of the part before, and as many of its translation."""


class TextPlan(Plan):
    """A text of any format but JSON, in parts that are pieces of it."""

    def __init__(self, line: TranslationLine) -> None:
        self._line = line
        self._glossary = glossary_of(line)
        self._examples = examples_of(line)
        self._body = cue_texts(line.text) if line.format == "subtitles" else line.text
        self._protected = protect(self._body, line.format)
        self._frames = [framed(piece) for piece in self._pieces(self._protected.text)]

    @cached_property
    def requests(self) -> tuple[ModelRequest, ...]:
        """The requests of all parts, without what only an answer brings."""
        return tuple(self._request(number, None) for number in range(len(self._frames)))

    @property
    def judged_by(self) -> Any:
        """The whole line, but for its name and whom it asks."""
        return msgspec.structs.replace(self._line, custom_id="", model="")

    def request(self, kept: Sequence[Any]) -> ModelRequest:
        """Return the request of the next part, with the end of the one before and its translation."""
        return self._request(len(kept), self._context(kept) if kept else None)

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Return the translation of the part as the user is to have it, or what is wrong with it."""
        heard = self._heard(kept, answer)
        if self._examples and isinstance(heard, Bad) and heard.remedy is Remedy.TELL:
            # What continues texts would go on with the reproach.
            return msgspec.structs.replace(heard, remedy=Remedy.ASK)
        return heard

    def _heard(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        shown = self._frames[len(kept)][1]
        if self._examples:
            answer = without_more(self._line, shown, answer)
        # What somebody said in French may be just what a model says in English.
        may_deny = base_of(self._line.target or "") == "en"
        if (
            bad := no_answer(answer, may_loop=loop(shown) is not None, may_deny=may_deny)
        ) is not None:
            return bad
        checked = check_piece(Piece(shown, self._protected, self._line.format), answer.text)
        source = self._protected.original(shown)
        bad = repeated(source, checked.text, self._shown_before(kept))
        if (bad := bad or said_twice(source, checked.text, self._line.target or "")) is not None:
            return bad
        return verdict(
            self._line, words_of(shown), [checked], self._terms(shown), Good(checked.text)
        )

    def join(self, kept: Sequence[Any]) -> Verdict:
        """Return the whole translation: what is between the parts is as in the source."""
        joined = "".join(
            before + text + after
            for (before, _shown, after), text in zip(self._frames, kept, strict=True)
        )
        if self._line.format == "subtitles":
            return Good(with_cue_texts(self._line.text, joined))
        return Good(joined)

    def recheck(self, output: Any, was: Plan) -> Verdict | None:
        """Judge the whole translation as one piece, however many parts it was made of."""
        if not isinstance(was, TextPlan):
            return None
        is_subtitles = self._line.format == "subtitles"
        answer = self._protected.hidden(cue_texts(output) if is_subtitles else output)
        shown = self._protected.text
        checked = check_piece(Piece(shown, self._protected, self._line.format), answer)
        terms = self._terms(shown)
        return verdict(self._line, words_of(shown), [checked], terms, Good(output))

    def _pieces(self, text: str) -> list[str]:
        part_tokens = part_tokens_of(self._line)
        if estimate_tokens(text) <= part_tokens:
            return [text]
        language = self._line.source or detect(words_of(text[: 8 * CONTEXT_CHARACTERS]))
        return split(text, part_tokens, base_of(language or UNKNOWN_LANGUAGE))

    def _request(self, number: int, context: tuple[str, str] | None) -> ModelRequest:
        shown = self._frames[number][1]
        system = system_text(self._line, shown, self._terms(shown), has_context=context is not None)
        messages = turns(self._line, self._examples, context, shown)
        goes_on = next_text(self._line, shown) if self._examples else None
        return request_of(self._line, system, messages, goes_on=goes_on)

    def _context(self, kept: Sequence[Any]) -> tuple[str, str] | None:
        before = self._protected.original(self._frames[len(kept) - 1][1])
        source = base_of(self._line.source or UNKNOWN_LANGUAGE)
        ends = (
            last_sentences(before, CONTEXT_SENTENCES, CONTEXT_CHARACTERS, source),
            last_sentences(
                str(kept[-1]),
                CONTEXT_SENTENCES,
                CONTEXT_CHARACTERS,
                base_of(self._line.target or ""),
            ),
        )
        return ends if all(ends) else None

    def _shown_before(self, kept: Sequence[Any]) -> list[tuple[str, str]]:
        """Return the texts with their translations that the model was shown before this one."""
        before = [*self._examples.items()]
        if kept:
            text = self._protected.original(self._frames[len(kept) - 1][1])
            before.append((text, str(kept[-1])))
        return before

    def _terms(self, shown: str) -> list[Term]:
        return [] if self._glossary is None else self._glossary.terms_in(words_of(shown))
