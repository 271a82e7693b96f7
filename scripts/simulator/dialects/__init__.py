"""The wire formats, one module each: how a request is read, and how answers and errors are written.

A dialect is a module. The shapes are the providers' own, as documented in November 2026.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from scripts.simulator.buckets import Reading
from scripts.simulator.calls import Answer, Call, ErrorReply, Failure
from scripts.simulator.dialects import anthropic, gemini, mistral, openai, responses


class Dialect(Protocol):
    """What a module of this package offers."""

    NAME: str
    """The provider's, whose limits and account it shares with its other endpoints."""
    USAGE_FIELD: str
    """Where an answer's body has its usage."""
    BILLS_REFUSALS: bool
    """Whether the input of a refused request is paid for."""
    REPORTS_REASONING: bool
    """Whether usage tells how much of the output was reasoning."""

    def read(self, body: bytes, model: str, version: str) -> Call:
        """Return the call in `body`.

        `model` is the one named in the path (empty for the dialects that name it in the body),
        `version` the header `anthropic-version`.

        Raises:
            Rejected: the provider would answer with an error.
        """

    def answer(self, call: Call, answer: Answer, number: int) -> dict[str, Any]:
        """Return the body of a 200; `number` makes its identifiers."""

    def events(self, body: dict[str, Any], call: Call) -> Iterator[bytes]:
        """Yield the body of a 200 as the events of a stream, each with its end."""

    def error(self, failure: Failure, model: str, number: int) -> ErrorReply:
        """Return the error in the provider's shape, with the headers that belong to it alone."""

    def headers(
        self, readings: Mapping[str, Reading], answer: Answer | None, number: int
    ) -> dict[str, str]:
        """Return the headers of every reply: identifiers and rates; `answer` is None for errors."""


DIALECTS: dict[str, Dialect] = {
    "openai": openai,
    "anthropic": anthropic,
    "gemini": gemini,
    "mistral": mistral,
    "responses": responses,
}
