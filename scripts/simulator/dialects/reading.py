"""What reading a request needs in more than one dialect."""

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from scripts.simulator.calls import FailureKind, Rejected

T = TypeVar("T")


class Part(msgspec.Struct):
    """A piece of a message; only text is read."""

    type: str = "text"
    text: str = ""
    cache_control: dict[str, Any] | None = None
    """Anthropic's mark: what stands up to here is to be kept in the prompt cache."""
    id: str = ""
    tool_use_id: str = ""
    source: dict[str, Any] | None = None
    """Of a call of a tool, of what one has brought, and of a picture, at Anthropic."""


Content = str | list[Part] | None


class JsonSchema(msgspec.Struct):
    """The named schema of `response_format`."""

    name: str
    schema: dict[str, Any] = {}
    strict: bool | None = False


class ResponseFormat(msgspec.Struct):
    """`response_format`, as OpenAI and Mistral have it."""

    type: str
    json_schema: JsonSchema | None = None

    def schema(self) -> dict[str, Any] | None:
        """Return the schema asked for: `{}` for any object, None for text.

        Raises:
            Rejected: an unknown type, or no schema where one was promised.
        """
        match self.type:
            case "text":
                return None
            case "json_object":
                return {"type": "object"}
            case "json_schema" if self.json_schema is not None:
                return self.json_schema.schema
            case _:
                raise Rejected(f"Invalid response_format: {self.type!r}.")


def decode(
    decoder: "msgspec.json.Decoder[T]", body: bytes, kind: FailureKind = FailureKind.BAD_REQUEST
) -> T:
    """Return the decoded body.

    Raises:
        Rejected: not JSON (always a bad request), or not of the decoder's shape (`kind`).
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Rejected(str(error), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"We could not parse the JSON body of your request: {error}") from None


def texts_of(contents: Iterable[Content]) -> tuple[str, ...]:
    """Return the texts of those messages that have one."""
    return tuple(
        content if isinstance(content, str) else "\n".join(part.text for part in content)
        for content in contents
        if content
    )


def whole_seconds(wait_s: float) -> str:
    """Return a wait as `retry-after` has it: whole seconds, rounded up, at least one."""
    return str(max(1, math.ceil(wait_s)))
