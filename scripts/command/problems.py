"""From a refused HTTP request to an error: reads problem+json, and copes with anything else."""

from typing import Any

import httpx

from jobs.errors import (
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
    401: NotAuthorised,
    403: NotAuthorised,
    404: NotFound,
    409: Conflict,
    413: SubmissionTooLarge,
    429: ServiceUnavailable,
}


def error_from(response: httpx.Response) -> TidemillError:
    """Return the error that an answer outside 2xx stands for, with the server's words and code."""
    problem = _problem(response)
    error = _error(response, problem)
    error.code = _text(problem.get("code")) or error.code
    return error


def _error(response: httpx.Response, problem: dict[str, Any]) -> TidemillError:
    status = response.status_code
    message = _text(problem.get("detail")) or _text(problem.get("title"))
    if status in {401, 403}:
        hint = "give a key with TIDEMILL_API_KEY, --key or the file api-key in TIDEMILL_HOME"
        return NotAuthorised(f"{message or 'the server wants an API key'} ({hint})")
    if faults := _faults(problem.get("errors")):
        count = problem.get("error_count")
        fault_count = count if isinstance(count, int) else len(faults)
        return InvalidSubmission(message or None, faults=faults, fault_count=fault_count)
    if not message:
        message = f"{response.url.path} was answered with status {status} {response.reason_phrase}"
    rest = ServiceUnavailable if status >= httpx.codes.INTERNAL_SERVER_ERROR else SubmissionError
    return _KINDS.get(status, rest)(message.strip())


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _faults(rows: object) -> list[LineFault]:
    # Faults without a line are those of parameters, which the message names already.
    return [
        LineFault(
            line=row["line"],
            code=_text(row.get("code")),
            field=_text(row.get("field")),
            message=_text(row.get("message")),
        )
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and isinstance(row.get("line"), int)
    ]


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
