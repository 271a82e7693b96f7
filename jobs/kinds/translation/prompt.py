"""What a model is told: short, since small models forget long instructions, and every call pays for it."""

from collections.abc import Mapping, Sequence

import msgspec

from jobs.exchange import Answer, Finish, Message
from jobs.kinds.translation.glossary import Term
from jobs.kinds.translation.languages import name_of
from jobs.kinds.translation.line import TranslationLine
from jobs.kinds.translation.placeholders import placeholders

UNKNOWN_LANGUAGE = "en"
"""How sentences end in a text whose language doesn't tell: most scripts are told apart anyway."""

_OF_FORMAT = {
    "markdown": "Keep the Markdown as it is.",
    "html": "Keep the HTML tags as they are.",
    "subtitles": "These are subtitles: every line stays a line.",
    "json": "The text is a JSON object: answer with the same keys and each value translated.",
}
_LINES = "Every line stays a line."
_TOKENS = "Copy marks such as <x1/> as they are, each once."
_PLACEHOLDERS = "Copy placeholders such as {name} as they are."
_CONTEXT = "The exchange before the last text is what comes before it: don't repeat it."


def system_text(
    line: TranslationLine, shown: str, terms: Sequence[Term], *, has_context: bool
) -> str:
    """Return the instructions for a text that is shown so."""
    origin = f" from {_language(line.source)}" if line.source else ""
    parts = [
        f"Translate the user's text{origin} into {_language(line.target or '')}.",
        "Answer with the translation only.",
    ]
    if line.format in _OF_FORMAT:
        parts.append(_OF_FORMAT[line.format])
    elif "\n" in shown:
        parts.append(_LINES)
    if "<x" in shown or ' id="' in shown:
        parts.append(_TOKENS)
    if placeholders(shown):
        parts.append(_PLACEHOLDERS)
    if line.tone:
        parts.append(f"Tone: {line.tone.strip()}.")
    if terms:
        pairs = "; ".join(f"{term.source} = {term.target}" for term in terms)
        parts.append(f"Use these terms: {pairs}.")
    if has_context:
        parts.append(_CONTEXT)
    return " ".join(parts)


def turns(
    line: TranslationLine,
    examples: Mapping[str, str],
    context: tuple[str, str] | None,
    shown: str,
) -> tuple[Message, ...]:
    """Return the conversation, in which what came before was just translated.

    With examples it is one message in the form that a model continues which follows no instructions:
    the language's name before every text, and at the end before the one that is wanted.
    """
    if not examples:
        before = [Message("user", context[0]), Message("assistant", context[1])] if context else []
        return (*before, Message("user", shown))
    origin, target = _label(line), _language(line.target or "")
    pairs = [*examples.items(), *([context] if context else [])]
    blocks = [f"{origin}: {text}\n{target}: {translation}" for text, translation in pairs]
    return (Message("user", "\n\n".join([*blocks, f"{origin}: {shown}\n{target}:"])),)


def next_text(line: TranslationLine, shown: str) -> str | None:
    """Return how the next text would begin, by which a model goes on that was shown examples.

    None if the text itself has that.
    """
    more = f"\n{_label(line)}:"
    return None if more in f"\n{shown}" else more


def without_more(line: TranslationLine, shown: str, answer: Answer) -> Answer:
    """Return an answer to a text that was shown with examples, without those that the model made up.

    It goes on with the next text where it isn't stopped; the translation before that is whole, even if
    the answer was cut off later.
    """
    more = next_text(line, shown)
    if more is None or more not in answer.text:
        return answer
    text = answer.text[: answer.text.index(more)]
    finish = Finish.COMPLETE if answer.finish is Finish.TRUNCATED else answer.finish
    return msgspec.structs.replace(answer, text=text, finish=finish)


def _label(line: TranslationLine) -> str:
    return _language(line.source) if line.source else "Text"


def _language(tag: str) -> str:
    return name_of(tag) or tag
