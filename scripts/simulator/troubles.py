"""Everything but an error status that can happen to a request, and to which requests it can."""

from enum import StrEnum

from scripts.simulator.calls import Call


class Trouble(StrEnum):
    """Everything but an error status that can happen to a request.

    HANG never answers, DRIP sends one byte at a time, RESET resets the connection when the request
    was read, CLOSE closes it when the answer was due, CUT promises the whole body and sends half.
    HTML answers 200 with a web page, BADJSON 200 with broken JSON.

    The others are lies: the answer arrives whole and is not what was asked for. REFUSAL refuses by the
    provider's own word, DENIAL in a sentence. LENGTH stops early, as if `max_tokens` were reached; LOOP
    says one thing over and over until they are. SCHEMA answers another type of document. SLOPPY dresses
    an honest answer up. MISQUOTED gives evidence that the text does not have.
    """

    HANG = "hang"
    DRIP = "drip"
    RESET = "reset"
    CLOSE = "close"
    CUT = "cut"
    HTML = "html200"
    BADJSON = "badjson"
    USAGE_MISSING = "usage_missing"
    USAGE_ABSURD = "usage_absurd"
    USAGE_NEGATIVE = "usage_negative"
    SLOW = "slow"
    REFUSAL = "refusal"
    DENIAL = "denial"
    LENGTH = "length"
    LOOP = "loop"
    EMPTY = "empty"
    SLOPPY = "sloppy"
    SCHEMA = "schema"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    EXTRA_KEY = "extra_key"
    INVALID_JSON = "invalid_json"
    MISQUOTED = "misquoted"
    WRONG_LANGUAGE = "wrong_language"
    UNTRANSLATED = "untranslated"
    LOST_PLACEHOLDER = "lost_placeholder"
    CHANGED_PLACEHOLDER = "changed_placeholder"
    CHANGED_NUMBER = "changed_number"


WITHOUT_WORK = frozenset({Trouble.HANG, Trouble.RESET})
"""Troubles that come before the model did anything that costs."""

UNANSWERED = WITHOUT_WORK | {Trouble.CLOSE, Trouble.CUT, Trouble.HTML, Trouble.BADJSON}
"""Troubles after which the caller does not hold the model's answer."""

OF_THE_WIRE = UNANSWERED | {Trouble.DRIP, Trouble.SLOW}
"""Troubles of a connection: what is not answered over one of its own can't have them."""


_OF_SCHEMAS = frozenset(
    {
        Trouble.SCHEMA,
        Trouble.MISSING_FIELD,
        Trouble.WRONG_TYPE,
        Trouble.EXTRA_KEY,
        Trouble.INVALID_JSON,
    }
)
_OF_TRANSLATIONS = frozenset({Trouble.WRONG_LANGUAGE, Trouble.UNTRANSLATED})
_OF_PLACEHOLDERS = frozenset({Trouble.LOST_PLACEHOLDER, Trouble.CHANGED_PLACEHOLDER})


def may_happen(trouble: Trouble, call: Call | None) -> bool:
    """Whether a trouble can happen to this call (None if it was not read): lies need what they spoil."""
    schema, task = (None, None) if call is None else (call.schema, call.translation)
    if trouble in _OF_SCHEMAS:
        return schema is not None
    if trouble in _OF_TRANSLATIONS:
        return task is not None
    if trouble in _OF_PLACEHOLDERS:
        return task is not None and bool(task.placeholders)
    match trouble:
        case Trouble.CHANGED_NUMBER:
            return task is not None and bool(task.numbers)
        case Trouble.MISQUOTED:
            return schema is not None and "evidence" in schema.get("properties", ())
        case Trouble.SLOPPY:
            return schema is not None or task is not None
        case _:
            return True
