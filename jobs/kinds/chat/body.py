"""The body of a chat completion: the fields that we must know of, of the many that it may have."""

from typing import Annotated, Any, Literal

import msgspec

from jobs.kinds.generation import MaxTokens, ModelName, Seed, Stop, Temperature, TopP

ABSENT = msgspec.Raw()

Samples = Annotated[int, msgspec.Meta(ge=1, le=128)]


class ImageUrl(msgspec.Struct, frozen=True):
    """Where a picture is: an address, or the picture itself as a `data:` URL; and how closely to look."""

    url: str
    detail: str | None = None


class Piece(msgspec.Struct, frozen=True):
    """A piece of a message's content."""

    type: Literal["text", "image_url", "refusal"]
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None


class Turn(msgspec.Struct, frozen=True):
    """A message; `tool_calls` and `function_call` are JSON text."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | tuple[Piece, ...] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: msgspec.Raw = ABSENT
    function_call: msgspec.Raw = ABSENT

    @property
    def text(self) -> str:
        """All of its text."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        texts = (piece.text or piece.refusal for piece in self.content)
        return "\n".join(text for text in texts if text)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The URLs of its pictures."""
        if self.content is None or isinstance(self.content, str):
            return ()
        return tuple(piece.image_url.url for piece in self.content if piece.image_url is not None)


class NamedSchema(msgspec.Struct, frozen=True):
    """The schema of a format; none means any value."""

    schema: msgspec.Raw = ABSENT


class ResponseFormat(msgspec.Struct, frozen=True):
    """How the answer is to be written."""

    type: str
    json_schema: NamedSchema | None = None


class Body(msgspec.Struct, frozen=True):
    """A chat completion's body. Other fields are passed on and not looked at."""

    model: ModelName
    messages: Annotated[tuple[Turn, ...], msgspec.Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    n: Samples | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    service_tier: str | None = None
    modalities: tuple[str, ...] | None = None
    audio: Any = None
    prediction: Any = None
    web_search_options: Any = None
    best_of: Any = None
    tools: msgspec.Raw = ABSENT
    functions: msgspec.Raw = ABSENT
