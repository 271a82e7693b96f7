"""The query of a request: text that can be read, and no parameter that the route doesn't have."""

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from jobs.errors import InvalidParameter


async def check_query(request: Request) -> None:
    """Refuse a query that would be read otherwise than it was meant.

    Raises:
        InvalidParameter: it is not text in UTF-8.
        RequestValidationError: it has a parameter that the route doesn't know.
    """
    try:
        unquote_to_bytes(request.scope["query_string"]).decode()
    except UnicodeDecodeError:
        raise InvalidParameter("the query is not text in UTF-8") from None
    known = set(_parameters(request.scope["route"]))
    if unknown := sorted(set(request.query_params) - known):
        # Just as a model that forbids what it doesn't know.
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": ""} for name in unknown]
        )


def _parameters(route: APIRoute) -> Iterator[str]:
    for field in route.dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, info in kind.model_fields.items():
                yield info.alias or name
        else:
            yield field.alias
