"""Translations that are in the wrong language, or lack what must stand in them as it is."""

import re

import orjson

from scripts.simulator.sentences import SENTENCES
from scripts.simulator.translation import KEPT, Translation, translate
from scripts.simulator.troubles import Trouble


def mistranslated(trouble: Trouble, honest: str, task: Translation, chance: int) -> str | None:
    """Return a translation that fails in one way; None where this trouble is not one of translations.

    Args:
        trouble: in which way.
        honest: the honest answer.
        task: what was asked for.
        chance: a number that decides which language a wrong one is.
    """
    match trouble:
        case Trouble.WRONG_LANGUAGE:
            others = sorted(SENTENCES.keys() - {task.target})
            other = Translation(task.text, others[chance % len(others)], {})
            return translate(other)
        case Trouble.UNTRANSLATED:
            return task.text
        case Trouble.LOST_PLACEHOLDER:
            return _without(honest, task.placeholders[-1])
        case Trouble.CHANGED_PLACEHOLDER:
            token = task.placeholders[-1]
            renamed = re.sub(r"[^\W\d]+|\d+", "nom", token, count=1)
            return honest.replace(token, renamed, 1)
        case Trouble.CHANGED_NUMBER:
            number = task.numbers[-1]
            other_number = str(int(re.sub(r"\D", "", number)) + 3)
            return _without(honest, number, other_number)
        case _:
            return None


def _without(text: str, token: str, instead: str = "") -> str:
    """Return the text with something else for the last `token`, which is no part of another."""
    places = [found.span() for found in KEPT.finditer(text) if found[0] == token]
    if not places:  # in JSON, where it is escaped
        return text.replace(orjson.dumps(token).decode()[1:-1], instead, 1)
    start, end = places[-1]
    return text[:start].rstrip() + (f" {instead}" if instead else "") + text[end:]
