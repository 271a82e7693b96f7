"""What passes between a dialect and the simulated model, in words that all four dialects share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from scripts.simulator.translation import Translation, read_translation

CHARACTERS_PER_TOKEN = 4
"""The simulator's tokenizer: every four characters are one token, in and out."""

JOB_MARK = "[job:"

COMPLAINT = "can't be used"
"""In the last turn of a request: it says what was wrong with the answer in the turn before."""

ANSWER_AND_COMPLAINT = 2
"""Turns that such a request has in addition."""

TOKEN_DIMENSIONS = frozenset({"tpm", "itpm", "otpm", "tpd"})
DAILY_DIMENSIONS = frozenset({"rpd", "tpd"})


class Tool(NamedTuple):
    """One of the caller's tools, with the JSON Schema of its arguments."""

    name: str
    parameters: Mapping[str, Any]


class Called(NamedTuple):
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Call:
    """One request, read. `text` is every message's text; `max_tokens` is None where none was named.

    `schema` is the JSON Schema that was asked for, None where text was. `question` is what is to be
    answered: the last turn, or if that complains of an answer (`is_told`), what stood before it. `marked`
    is the beginning of the text that the provider is asked to keep in its prompt cache, None where it
    isn't. One that `is_streamed` is answered in events; `tells_usage`, whether their end has the usage where
    that is the caller's choice. `tool` is the one that the model calls instead of saying something.
    """

    model: str
    text: str
    max_tokens: int | None
    schema: Mapping[str, Any] | None
    job_id: str
    input_tokens: int
    question: str
    is_told: bool
    translation: Translation | None
    marked: str | None = None
    is_streamed: bool = False
    tells_usage: bool = True
    tool: Tool | None = None


def read_call(
    model: str,
    turns: tuple[str, ...],
    max_tokens: int | None,
    schema: Mapping[str, Any] | None,
) -> Call:
    """Return the call, with its job's id found in the text and its input counted.

    `turns` are the texts of its messages, the system's first.
    """
    text = "\n".join(turns)
    tokens = max(1, -(-len(text) // CHARACTERS_PER_TOKEN))
    is_told = len(turns) > ANSWER_AND_COMPLAINT and COMPLAINT in turns[-1]
    asked = turns[:-ANSWER_AND_COMPLAINT] if is_told else turns
    question = asked[-1] if asked else ""
    translation = read_translation(asked[0], question) if len(asked) > 1 else None
    return Call(
        *(model, text, max_tokens, schema, find_job_id(text), tokens),
        question=question,
        is_told=is_told,
        translation=translation,
    )


def find_job_id(text: str) -> str:
    """Return ID of the first `[job:ID]` in `text`, empty where there is none."""
    start = text.find(JOB_MARK)
    if start < 0:
        return ""
    start += len(JOB_MARK)
    end = text.find("]", start)
    return text[start:end] if end > start else ""


def words_of(text: str) -> list[str]:
    """Return a text in the pieces in which it is streamed: a word each, with the space before it."""
    return re.findall(r"\s*\S+\s*?|\s+$", text)


class Finish(StrEnum):
    """Why the model stopped."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    TOOL_CALL = "tool_call"


@dataclass(slots=True)
class Answer:
    """What the model said, and what it takes money for.

    `input_tokens` includes `cached_tokens` and `cache_write_tokens`, `output_tokens` includes
    `reasoning_tokens`. `truth` is the fingerprint of the honest answer, and `lie` the way in which `text`
    is another one; empty if it isn't.
    """

    text: str
    finish: Finish
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cache_write_tokens: int = 0
    truth: int = 0
    lie: str = ""
    called: Called | None = None


class FailureKind(StrEnum):
    """The errors that a provider documents, by the word that a fault is asked for with."""

    BAD_REQUEST = "400"
    CONTEXT_TOO_LONG = "context"
    UNPROCESSABLE = "422"
    UNAUTHORISED = "401"
    QUOTA_EXHAUSTED = "quota"
    SPEND_LIMIT = "spend"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    RATE_LIMITED = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    OVERLOADED = "529"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error to be answered in a provider's own shape.

    `wait_s` is the wish that the provider states, None for none. `dimension` is the limit that was
    reached (`rpm`, `tpm`, …), empty where the error comes from no limit; `limit`, `used` and
    `requested` are its figures.
    """

    kind: FailureKind
    message: str = ""
    wait_s: float | None = None
    dimension: str = ""
    limit: int = 0
    used: int = 0
    requested: int = 0

    @property
    def is_about_tokens(self) -> bool:
        """Whether the limit that was reached counts tokens, not requests or calls in flight."""
        return self.dimension in TOKEN_DIMENSIONS

    @property
    def is_daily(self) -> bool:
        """Whether the limit that was reached is one of a day."""
        return self.dimension in DAILY_DIMENSIONS


class Rejected(Exception):
    """The provider would not take this request; `failure` says why."""

    def __init__(
        self,
        message: str,
        kind: FailureKind = FailureKind.BAD_REQUEST,
        failure: Failure | None = None,
    ) -> None:
        super().__init__(message)
        self.failure = failure or Failure(kind, message)


class ErrorReply(NamedTuple):
    """An error in a provider's own shape."""

    status: int
    body: Any
    headers: dict[str, str]
