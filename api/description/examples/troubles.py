"""Examples of what an operation may be refused with, or fail with."""

from collections.abc import Mapping
from typing import Any


def _problem(status: int, title: str, code: str, detail: str, **more: Any) -> dict[str, Any]:
    head = {"type": "about:blank", "title": title, "status": status}
    return {**head, "code": code, "detail": detail, **more}


PROBLEMS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "4XX": {
        problem["code"]: problem
        for problem in (
            _problem(
                *(400, "Bad Request", "invalid_jobs"),
                "1 of 5 lines is not a valid job; nothing was accepted",
                error_count=1,
                errors=[
                    {
                        "line": 4,
                        "field": "max_tokens",
                        "code": "wrong_type",
                        "message": "expected `int`, got `str`",
                    }
                ],
            ),
            _problem(
                *(400, "Bad Request", "invalid_parameter"),
                "limit: expected a whole number",
                errors=[
                    {
                        "field": "limit",
                        "code": "invalid_value",
                        "message": "expected a whole number",
                    }
                ],
            ),
            _problem(401, "Unauthorized", "unauthorised", "There is no valid API key."),
            _problem(403, "Forbidden", "insufficient_scope", "this needs the scope `submit`"),
            _problem(404, "Not Found", "not_found", "There is no such thing in this project."),
            _problem(409, "Conflict", "illegal_transition", "a completed batch can't be paused"),
        )
    },
    "5XX": {
        problem["code"]: problem
        for problem in (
            _problem(
                *(503, "Service Unavailable", "service_unavailable"), "the database does not answer"
            ),
            _problem(
                *(500, "Internal Server Error", "internal_error"),
                "Tidemill failed; its log says why.",
            ),
        )
    },
}
"""Problem documents, by the class of their status and by their code."""
