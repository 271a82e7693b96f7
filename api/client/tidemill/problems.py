"""From a refused HTTP request to an error: reads problem+json, and copes with anything else."""

from typing import Any

import httpx

from .errors import (
    Conflict,
    InvalidSubmission,
    LineFault,
    NotAuthorised,
    NotFound,
    ServiceUnavailable,
    SubmissionError,
    SubmissionTooLarge,
    TidemillError,
)

_KINDS: dict[int, type[TidemillError]] = {
    404: NotFound,
    409: Conflict,
    413: SubmissionTooLarge,
    429: ServiceUnavailable,
}


def error_from(response: httpx.Response) -> TidemillError:
    """Return the error that an answer outside 2xx stands for, with the server's words and code."""
    problem = _problem(response)
    status, faults = response.status_code, _faults(problem.get("errors"))
    message = _text(problem.get("detail")) or _text(problem.get("title"))
    if not message:
        message = f"{response.url.path} was answered with status {status} {response.reason_phrase}"
    count = problem.get("error_count")
    error = _kind(status, faults)(
        message.strip(),
        code=_text(problem.get("code")),
        status=status,
        faults=faults,
        fault_count=count if isinstance(count, int) else 0,
    )
    wish = response.headers.get("retry-after", "")
    error.retry_after_s = float(wish) if wish.isdecimal() else None
    return error


def _kind(status: int, faults: list[LineFault]) -> type[TidemillError]:
    if status in {401, 403}:
        return NotAuthorised
    if any(fault.line for fault in faults):
        return InvalidSubmission
    rest = ServiceUnavailable if status >= httpx.codes.INTERNAL_SERVER_ERROR else SubmissionError
    return _KINDS.get(status, rest)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _faults(rows: object) -> list[LineFault]:
    return [
        LineFault(
            line=_number(row.get("line")),
            code=_text(row.get("code")),
            field=_text(row.get("field")),
            message=_text(row.get("message")),
            column=_number(row.get("column")),
        )
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
    ]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
