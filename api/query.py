"""The query of a request: text that can be read, and no parameter that the route doesn't have."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator
from starlette.requests import HTTPConnection

from jobs.errors import InvalidParameter

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def check_query(request: HTTPConnection) -> None:
    """Refuse a query that would be read otherwise than it was meant.

    Raises:
        InvalidParameter: it is not text in UTF-8.
        RequestValidationError: it has a parameter that the route doesn't know, or one twice.
    """
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError:
        raise InvalidParameter("the query is not text in UTF-8") from None
    counts = Counter(name for name, _ in request.query_params.multi_items())
    known = set(_parameters(request.scope["route"].dependant))
    # Just as a model that forbids what it doesn't know.
    faults = [("extra_forbidden", name) for name in sorted(set(counts) - known)]
    faults += [("duplicate", name) for name in sorted(known & set(counts)) if counts[name] > 1]
    if faults:
        raise RequestValidationError(
            [{"type": kind, "loc": ("query", name), "msg": ""} for kind, name in faults]
        )


def _plain_digits(text: object) -> object:
    if isinstance(text, str) and not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError("expected a whole number")
    return text


def _plain_day(text: object) -> object:
    if isinstance(text, str) and not _DAY.fullmatch(text):
        raise ValueError("expected a day as YYYY-MM-DD")
    return text


def _plain_flag(text: object) -> object:
    if isinstance(text, str) and text not in {"true", "false"}:
        raise ValueError("expected true or false")
    return text


WholeNumber = Annotated[int, BeforeValidator(_plain_digits)]
"""A number as it is usually written; pydantic alone also reads `1_0`, ` 1 ` and `1.0`."""

Day = Annotated[date, BeforeValidator(_plain_day)]
"""A day as ISO 8601 writes it; pydantic alone also reads `0`, a count of seconds."""


def _parameters(dependant: Dependant) -> Iterator[str]:
    for needed in dependant.dependencies:
        yield from _parameters(needed)
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name
        else:
            yield field.alias


Flag = Annotated[bool, BeforeValidator(_plain_flag)]
"""Yes or no; pydantic alone also reads `on`, `T` and `1`."""
