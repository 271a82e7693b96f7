"""Errors in Anthropic's shape: every problem that is answered under `/anthropic/`, whoever found it.

Clients raise a class by the status and read `type` and `error_code`, which is our code for it.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from api.surface_errors import Surface

TYPES = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.PAYMENT_REQUIRED: "billing_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.CONFLICT: "conflict_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.GATEWAY_TIMEOUT: "timeout_error",
}

TOLD_FAULTS = 5
"""Of the requests that are not valid, told in the sentence; the first hundred are in `details`."""

OF_PARAMS = frozenset({"model"})
"""Fields that a line has by itself and a request has in its params."""

_INDEX = re.compile(r"\[(\d+)\]")

_TEXT = {"type": "string"}

DESCRIBED: dict[str, Any] = {
    "description": "An error in Anthropic's shape; nothing was changed.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["type", "error", "request_id"],
                "properties": {
                    "type": {"const": "error"},
                    "error": {
                        "type": "object",
                        "required": ["type", "message", "details"],
                        "properties": {
                            "type": {"type": "string", "pattern": "^[a-z_]+$"},
                            "message": {"type": "string", "minLength": 1},
                            "details": {
                                "type": "object",
                                "required": ["error_code"],
                                "properties": {
                                    "error_code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
                                    "error_count": {"type": "integer", "minimum": 1},
                                    "errors": {
                                        "type": "array",
                                        "maxItems": 100,
                                        "items": {
                                            "type": "object",
                                            "required": ["code", "field", "message"],
                                            "properties": {
                                                "code": _TEXT,
                                                "field": _TEXT,
                                                "message": _TEXT,
                                            },
                                            "additionalProperties": False,
                                        },
                                    },
                                },
                                "additionalProperties": False,
                            },
                        },
                        "additionalProperties": False,
                    },
                    "request_id": _TEXT,
                },
                "additionalProperties": False,
            }
        }
    },
}

ERRORS: dict[int | str, dict[str, Any]] = {"4XX": DESCRIBED, "5XX": DESCRIBED}
"""The responses of every route under `/anthropic/` that is not 2xx."""


def error_of(status: HTTPStatus, problem: Mapping[str, Any], request_id: str) -> dict[str, Any]:
    """Return a problem document's error; what is wrong with requests of a batch is named one by one."""
    details: dict[str, Any] = {"error_code": str(problem["code"])}
    message = problem["detail"]
    if (count := problem.get("error_count")) is not None:
        faults = [_of_request(fault) for fault in problem["errors"]]
        details |= {"error_count": count, "errors": faults}
        message = _told(faults, count)
    own = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {
        "type": "error",
        "error": {"type": TYPES.get(status, own), "message": message, "details": details},
        "request_id": request_id,
    }


def _of_request(fault: Mapping[str, Any]) -> dict[str, str]:
    """Return the fault of a line as one of a request, as `requests.3.params.messages.0.role`."""
    field = f"params.{fault['field']}" if fault["field"] in OF_PARAMS else fault["field"]
    place = _INDEX.sub(r".\1", field)
    # Lines are counted from 1, items of a list from 0.
    named = f"requests.{fault['line'] - 1}"
    return {
        "code": fault["code"],
        "field": f"{named}.{place}" if place else named,
        "message": fault["message"],
    }


def _told(faults: list[dict[str, str]], count: int) -> str:
    told = [f"{fault['field']}: {fault['message']}" for fault in faults[:TOLD_FAULTS]]
    if count > len(told):
        told.append(f"and {count - len(told):,} more")
    return "; ".join((*told, "nothing was accepted"))


ANTHROPIC = Surface(prefix="/anthropic/", request_id_header="request-id", error_of=error_of)
