"""What pydantic finds wrong, in words for people: no names of its own classes, no raw patterns."""

from collections.abc import Mapping

from pydantic_core import ErrorDetails

NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ROUTE = r"^[^/\s]{1,200}$"
STAGE = r"^[a-z][a-z0-9_]{0,62}$"
"""Of stages of pipelines, which are variables of templates as well."""
TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"

_EXPECTED: Mapping[str, str] = {
    NAME: "expected 1 to 63 of a-z, 0-9, _ and -, the first of them a letter or a digit",
    STAGE: "expected 1 to 63 of a-z, 0-9 and _, the first of them a letter",
    TIME_OF_DAY: "expected a time of day, HH:MM, such as 06:00",
    ROUTE: "expected a name of up to 200 characters without / and without blanks",
}


def in_words(fault: ErrorDetails) -> str:
    """Return what is wrong with a value. Every pattern of ours has its sentence here."""
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return "there is no such parameter"
        case "duplicate":
            return "stands more than once; expected one value"
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return _EXPECTED[context["pattern"]]
        case _:
            return fault["msg"]
