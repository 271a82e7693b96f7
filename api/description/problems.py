"""What the OpenAPI description says beside what FastAPI finds out: problems, and submissions."""

from typing import Any

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 1}

PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"const": "about:blank"},
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
        "detail": {"type": "string", "minLength": 1},
        "line": _NUMBER,
        "column": _NUMBER,
        "error_count": _NUMBER,
        "errors": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "required": ["code", "field", "message"],
                "properties": {
                    "code": {"type": "string", "pattern": "^[a-z0-9_]+$"},
                    "field": _TEXT,
                    "message": _TEXT,
                    "line": _NUMBER,
                    "column": _NUMBER,
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
"""A problem document; `docs/errors.md` lists the codes."""

_PROBLEM = {
    "description": "A problem document (RFC 9457); nothing was changed.",
    "content": {"application/problem+json": {"schema": PROBLEM}},
}

PROBLEMS: dict[int | str, dict[str, Any]] = {"4XX": _PROBLEM, "5XX": _PROBLEM}
"""The responses of every route that is not 2xx."""

_LINES = {
    "schema": _TEXT,
    "example": '{"custom_id":"a1","model":"cheap","prompt":"Say hello."}\n',
}

_BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}

SUBMISSION: dict[str, Any] = {
    "requestBody": {
        "description": "One job a line, a document with all of them, or a sheet with a job a row; "
        "none with `from_url`. Content-Encoding may be gzip or zstd.",
        "content": {
            "application/x-ndjson": _LINES,
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["jobs"],
                    "properties": {
                        "jobs": {"type": "array", "minItems": 1, "items": {"type": "object"}}
                    },
                    "additionalProperties": False,
                },
                "example": {
                    "jobs": [{"custom_id": "a1", "model": "cheap", "prompt": "Say hello."}]
                },
            },
            "text/csv": {
                "schema": _TEXT,
                "example": "custom_id,model,prompt\r\na1,cheap,Say hello.\r\n",
            },
            "text/tab-separated-values": {"schema": _TEXT},
            "application/vnd.apache.parquet": {"schema": _BINARY},
        },
    }
}
"""The body of a submission, which is read as it arrives and not by FastAPI."""
