"""Errors in OpenAI's shape: every problem that is answered under `/v1`, whoever found it.

Clients raise a class by the status and read `code`, `type` and `param` of `error`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from api.surface_errors import Surface

CODES = {
    "unauthorised": "invalid_api_key",
    "too_many_guesses": "rate_limit_exceeded",
    "rate_limited": "rate_limit_exceeded",
    "budget_exhausted": "insufficient_quota",
    "context_too_long": "context_length_exceeded",
}
"""Codes for which OpenAI has words of its own."""

TYPES = {
    HTTPStatus.TOO_MANY_REQUESTS: "requests",
    HTTPStatus.PAYMENT_REQUIRED: "insufficient_quota",
}

DESCRIBED: dict[str, Any] = {
    "description": "An error in OpenAI's shape; nothing was changed.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string", "minLength": 1},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": "string"},
                        },
                        "additionalProperties": False,
                    }
                },
                "additionalProperties": False,
            }
        }
    },
}

ERRORS: dict[int | str, dict[str, Any]] = {"4XX": DESCRIBED, "5XX": DESCRIBED}
"""The responses of every route under `/v1` that is not 2xx."""


def error_of(status: HTTPStatus, problem: Mapping[str, Any], _request_id: str) -> dict[str, Any]:
    """Return a problem document's error; `param` is the first field that is at fault."""
    fields = [fault["field"] for fault in problem.get("errors", ()) if fault["field"]]
    code = str(problem["code"])
    own = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {
        "error": {
            "message": problem["detail"],
            "type": TYPES.get(status, own),
            "param": fields[0] if fields else None,
            "code": CODES.get(code, code),
        }
    }


OPENAI = Surface(
    prefix="/v1/",
    request_id_header="x-request-id",
    error_of=error_of,
    # Its clients know no other sign of a budget that is used up.
    own_statuses={HTTPStatus.PAYMENT_REQUIRED: HTTPStatus.TOO_MANY_REQUESTS},
)
