"""The OpenAPI description, made whole: what each operation is for, what its parameters mean, examples."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from typing_extensions import override

from api.anthropic.errors import ANTHROPIC
from api.description.examples import EXAMPLES, PROBLEMS, Examples
from api.description.parameters import IF_NONE_MATCH, PARAMETERS
from api.openai.errors import OPENAI
from api.surface_errors import Surface

ABOUT = """A job queue for bulk LLM generation. Amounts are dollars as decimal texts, times are ISO 8601 in
UTC, durations are in seconds. Answers are packed with gzip or zstd as `Accept-Encoding` says.
`docs/errors.md` lists every code."""

SURFACES = (OPENAI, ANTHROPIC)
"""Those that say problems in a shape of their own."""

REQUEST_ID = "req_06b7j0v3tk4zv8m2c5yq9x1d"

_NOT_MODIFIED = {"description": "The answer is the one whose `etag` was sent."}
EVENTS = "text/event-stream"
_POLLED = "/results"
"""How a path ends whose answer has an ETag and is no JSON."""


class DescribedApp(FastAPI):
    """An application whose description has what FastAPI can't find out."""

    @override
    def openapi(self) -> dict[str, Any]:
        """Return the description, which is made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["info"]["description"] = ABOUT
            for name, operation in operations(document):
                _complete(name, operation)
        assert self.openapi_schema is not None
        return self.openapi_schema


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operations of a description by method and path."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _complete(name: str, operation: dict[str, Any]) -> None:
    if text := operation.get("description"):
        operation["summary"] = _first_sentence(text)
    for parameter in operation.get("parameters", ()):
        if (said := PARAMETERS.get(parameter["name"])) and "description" not in parameter:
            parameter["description"] = said
    _tell_of_etags(name, operation)
    if examples := EXAMPLES.get(name):
        _show(operation, examples)
    path = name.split()[1]
    surface = next((surface for surface in SURFACES if path.startswith(surface.prefix)), None)
    for status in PROBLEMS:
        for content in operation["responses"].get(status, {}).get("content", {}).values():
            content.setdefault("examples", _problems(status, surface))


def _first_sentence(text: str) -> str:
    first = text.split("\n\n", maxsplit=1)[0].replace("\n", " ")
    return first.split(". ")[0].rstrip(".")


def _tell_of_etags(name: str, operation: dict[str, Any]) -> None:
    is_document = "application/json" in operation["responses"].get("200", {}).get("content", {})
    if name.startswith("GET ") and (is_document or name.endswith(_POLLED)):
        operation.setdefault("parameters", []).append(IF_NONE_MATCH)
        operation["responses"]["304"] = _NOT_MODIFIED


def _show(operation: dict[str, Any], examples: Examples) -> None:
    if examples.body is not None:
        for content in operation["requestBody"]["content"].values():
            content["example"] = examples.body
    for status, answer in examples.answers.items():
        for kind, content in operation["responses"][status]["content"].items():
            content["example"] = examples.events if kind == EVENTS else answer


def _problems(status: str, surface: Surface | None) -> dict[str, Any]:
    """Return examples of problems by their codes, as a surface says them; None is Tidemill's own."""
    return {
        code: {
            "value": problem
            if surface is None
            else surface.error_of(HTTPStatus(problem["status"]), problem, REQUEST_ID)
        }
        for code, problem in PROBLEMS[status].items()
    }
