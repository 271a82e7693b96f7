"""The body of a request for a response: the fields that we must know of, of the many that it may have.

The items of its input are of many types, and most are nobody's matter but the provider's: they are
read in `items`, as far as they can be.
"""

from typing import Any

import msgspec

from jobs.kinds.generation import MaxTokens, ModelName, Temperature, TopP

ABSENT = msgspec.Raw()


class TextFormat(msgspec.Struct, frozen=True):
    """How the answer is to be written; a `schema` that is absent means any value."""

    type: str
    schema: msgspec.Raw = ABSENT


class TextSettings(msgspec.Struct, frozen=True):
    """What is said of the answer's text."""

    format: TextFormat | None = None


class Body(msgspec.Struct, frozen=True):
    """The body. Other fields are passed on and not looked at."""

    model: ModelName
    input: str | list[dict[str, Any]] | None = None
    instructions: str | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    text: TextSettings | None = None
    stream: bool | None = None
    background: bool | None = None
    service_tier: str | None = None
    metadata: dict[str, str] | None = None
    prompt: Any = None
    tools: msgspec.Raw = ABSENT
