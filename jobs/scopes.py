"""What an API key may do: the words, and how a set of them is written."""

from collections.abc import Iterable
from enum import StrEnum

from jobs.errors import InvalidParameter


class Scope(StrEnum):
    """One thing that a key may do; none includes another.

    `read`: see batches, results, usage and pools. `submit`: send batches, steer them, set their own
    budgets. `admin`: change what holds for the whole project, such as its budget. `metrics`: see the
    figures of the whole, over all projects; only who is given it by name has it.
    """

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"
    METRICS = "metrics"


EVERY_SCOPE = frozenset(Scope)

PROJECT_SCOPES = EVERY_SCOPE - {Scope.METRICS}
"""What a key has that is made without a word about it: all of its project, and nothing beyond."""


def parse_scopes(text: str) -> frozenset[Scope]:
    """Return the scopes of a comma-separated list.

    Raises:
        InvalidParameter: one is not known, or there is none.
    """
    words = {word.strip() for word in text.split(",")} - {""}
    unknown = sorted(words - EVERY_SCOPE)
    if unknown or not words:
        got = repr(unknown[0][:40]) if unknown else "none"
        raise InvalidParameter(f"scopes: expected some of {', '.join(Scope)}; got {got}")
    return frozenset(map(Scope, words))


def format_scopes(scopes: Iterable[Scope]) -> str:
    """Return the list, in the order of the words above."""
    given = set(scopes)
    return ",".join(scope for scope in Scope if scope in given)
