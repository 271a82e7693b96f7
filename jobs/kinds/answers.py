"""What is wrong with an answer before anybody reads it for its kind: none was given, or only a part.

Few refusals are marked as such by their provider, so the words that models have for them are known here. A
model that has lost its way says one thing over and over, to the end of what it may say: that is
found here too, since allowing it more would only make it dearer.
"""

import re
import zlib
from itertools import pairwise

from jobs.exchange import Answer, Finish
from jobs.kinds.kind import Bad, Remedy

LOOP_WINDOW_CHARACTERS = 8_000
"""At the end of an answer, where a loop is looked for."""

LOOP_CHARACTERS = 400
"""A shorter loop may be meant: a rule of dashes, a refrain, a cheer."""

LOOP_ROUNDS = 6

_LOOP_COMPRESSION = 2.5
"""Prose shrinks less than that; what shrinks more is looked at more closely."""

DENIAL_CHARACTERS = 300
"""Of a refusal in words; a longer text is about something."""

_DENIAL = re.compile(
    r"(?:(?:(?:I['’]m|I am) (?:very |really )?sorry|sorry|I apologi[sz]e|unfortunately)[,.:;]? {1,2})?"
    r"(?:but )?(?:as an AI[^,.\n]{0,40}, )?"
    r"I(?:['’]m| am)? ?(?:can['’]?t|cannot|can not|won['’]t|unable to|not able to) "
    r"(?:help|assist|comply|fulfill?)(?: you)?(?: with)? (?:this|that|it|your)"
    r"(?: particular)?(?: request)?(?=[.!,;]|\Z| as an AI| because)",
    re.IGNORECASE,
)

_WORD = re.compile(r"[^\W\d]+")
_FEWEST_WORDS = 100
SHOWN_LOOP_CHARACTERS = 40


def no_answer(
    answer: Answer, *, may_be_cut: bool = False, may_loop: bool = False, may_deny: bool = False
) -> Bad | None:
    """Return why this is no complete answer; None if it is one.

    Args:
        answer: of any model.
        may_be_cut: whether the beginning of an answer is worth something by itself.
        may_loop: whether what was asked for is as repetitive as a loop.
        may_deny: whether what was asked for may be a refusal, as a text.
    """
    if answer.finish is Finish.REFUSED:
        return Bad("refused", answer.refusal or "the model refused to answer", Remedy.TURN)
    if answer.finish is Finish.MALFUNCTION:
        return Bad("model_malfunction", "the model broke off with an error of its own", Remedy.ASK)
    # A complete answer that repeats itself may be what was asked for; the kind knows.
    if answer.finish is Finish.TRUNCATED and not may_loop and (bad := looping(answer.text)):
        return bad
    if answer.finish is Finish.TRUNCATED and not may_be_cut:
        return Bad("truncated", "the answer was cut off at its `max_tokens`", Remedy.RAISE)
    if not may_deny and denied(answer.text):
        return Bad("refused", f"the model refused: {' '.join(answer.text.split())}", Remedy.TURN)
    if not answer.text.strip():
        # Hidden reasoning may have taken all that it was allowed.
        remedy = Remedy.RAISE if answer.finish is Finish.TRUNCATED else Remedy.ASK
        return Bad("empty_output", f"the answer is empty (finish: {answer.finish.value})", remedy)
    return None


def denied(text: str) -> bool:
    """Whether a text is nothing but a refusal, in the words that models have for it in English.

    Providers mark few of their models' refusals as such. A text that goes on at length, that is in quotation
    marks, or that says what it is that can't be done is something else.
    """
    bare = text.strip()
    return len(bare) <= DENIAL_CHARACTERS and _DENIAL.match(bare) is not None


def looping(text: str) -> Bad | None:
    """Return what is wrong with a text that ends in a loop."""
    if (unit := loop(text)) is None:
        return None
    shown = " ".join(unit.split())[:SHOWN_LOOP_CHARACTERS] or "blanks"
    return Bad("degenerate_output", f"the answer ends in a loop: `{shown}`", Remedy.ASK)


def loop(text: str) -> str | None:
    """Return what `text` says over and over until its end, None if it doesn't.

    That may be blanks: models that must write JSON end so where they don't know on. Of anything else at
    least six rounds, and half of the last 8,000 characters. 20 us for an answer in prose; 1 ms for one
    that is suspicious, however long it is.
    """
    window = text[-LOOP_WINDOW_CHARACTERS:].rstrip()
    if min(len(text), LOOP_WINDOW_CHARACTERS) - len(window) >= LOOP_CHARACTERS:
        return text[-1]
    if len(window) < LOOP_CHARACTERS:
        return None
    packed = window.encode("utf-8", "surrogatepass")
    if len(packed) < _LOOP_COMPRESSION * len(zlib.compress(packed, 1)):
        return None
    # The period of every beginning of the text read from its end, by Knuth, Morris and Pratt.
    reversed_window = window[::-1]
    borders = [0]
    found: int | None = None
    fewest = max(LOOP_CHARACTERS, len(window) // 2)
    border = 0
    for place in range(1, len(reversed_window)):
        while border and reversed_window[place] != reversed_window[border]:
            border = borders[border - 1]
        border += reversed_window[place] == reversed_window[border]
        borders.append(border)
        period = place + 1 - border
        if fewest <= place + 1 >= LOOP_ROUNDS * period:
            found = period
    return None if found is None else window[-found:]


def repetition(text: str) -> float:
    """Return the share of neighbouring words in `text` that stood together before; 0 for a short text.

    A thousand words of prose have 0.1 to 0.2, a list that only counts on 0.9. Numbers are no words.
    """
    words = _WORD.findall(text[: 4 * LOOP_WINDOW_CHARACTERS].casefold())
    if len(words) < _FEWEST_WORDS:
        return 0.0
    return 1 - len({*pairwise(words)}) / (len(words) - 1)
