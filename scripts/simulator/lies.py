"""Answers that arrive whole and are not what was asked for, in the ways in which models fail.

Each takes the honest answer and spoils it in one way; which place it spoils follows from the request. Some
are as good as honest to whoever puts right what is plainly meant (`sloppy`, `changed_placeholder`). What
needs a document is in `spoiled_documents`, what needs a translation in `mistranslations`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from scripts.simulator.calls import CHARACTERS_PER_TOKEN, Call, Finish
from scripts.simulator.mistranslations import mistranslated
from scripts.simulator.spoiled_documents import spoiled
from scripts.simulator.troubles import Trouble

MOST_TOKENS = 4096
"""Of an answer without end to a request that bounds none."""

REFRAIN = " and the tide comes in"
DENIALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with that request.",
    "Sorry, I'm unable to help with this request.",
)


@dataclass(frozen=True, slots=True)
class Honest:
    """An honest answer: its text, and the document that it is where a schema was asked for."""

    text: str
    document: Any = None


class Said(NamedTuple):
    """What is said instead, and why the model stopped; `tokens` is None for the usual number."""

    text: str
    finish: Finish = Finish.COMPLETE
    tokens: int | None = None


def lie(trouble: Trouble, honest: Honest, call: Call) -> Said | None:
    """Return what is said instead of the honest answer; None where this trouble is no lie."""
    chance = crc32(call.text.encode(errors="surrogatepass"))
    match trouble:
        case Trouble.EMPTY:
            return Said("", tokens=0)
        case Trouble.DENIAL:
            return Said(DENIALS[chance % len(DENIALS)])
        case Trouble.LOOP:
            return _loop(honest, call, chance)
        case Trouble.SLOPPY:
            return Said(_sloppy(honest, chance))
        case _:
            pass
    text = None
    if call.schema is not None:
        text = spoiled(trouble, honest.text, call.schema, chance)
    if text is None and call.translation is not None:
        text = mistranslated(trouble, honest.text, call.translation, chance)
    return None if text is None else Said(text)


def _loop(honest: Honest, call: Call, chance: int) -> Said:
    """Begin honestly and say one thing until nothing more may be said; of JSON also: blanks."""
    tokens = call.max_tokens or MOST_TOKENS
    size = tokens * CHARACTERS_PER_TOKEN
    unit = "\n" if honest.document is not None and chance % 2 else REFRAIN
    begun = honest.text[: len(honest.text) // 2]
    return Said((begun + unit * size)[:size], Finish.TRUNCATED, tokens)


def _sloppy(honest: Honest, chance: int) -> str:
    """Return the honest answer with something around it, or JSON that is nearly right."""
    if honest.document is None:
        return f"Here is the translation:\n\n{honest.text}"
    fenced = f"```json\n{honest.text}\n```"
    forms = (fenced, f"Here is the JSON:\n\n{fenced}", f"{honest.text[:-1]},{honest.text[-1]}")
    return forms[chance % len(forms)]
