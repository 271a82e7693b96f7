"""The body of Anthropic's messages: the fields that we must know of, of the many that it may have."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from jobs.kinds.generation import MaxTokens, ModelName, StopText, TopP

PARAMS = "params"
"""Where a line has the body."""

ABSENT = msgspec.Raw()

Temperature = Annotated[float, msgspec.Meta(ge=0, le=1)]


class CacheControl(msgspec.Struct, frozen=True):
    """That what stands before it is to be kept in the prompt cache, and for how long."""

    ttl: str | None = None


class Source(msgspec.Struct, frozen=True):
    """Where a picture or a document is; `data` is the thing itself."""

    type: str
    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    content: "str | tuple[Block, ...] | None" = None


class Block(msgspec.Struct, frozen=True):
    """A piece of a turn's content; `input` is JSON text.

    The source of a search's result is a text.
    """

    type: Literal[
        "text",
        "image",
        "document",
        "search_result",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
    ]
    text: str | None = None
    thinking: str | None = None
    title: str | None = None
    context: str | None = None
    source: Source | str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = ABSENT
    tool_use_id: str | None = None
    content: "str | tuple[Block, ...] | None" = None
    cache_control: CacheControl | None = None

    @property
    def picture_bytes(self) -> int:
        """Of the body that are this picture, not text; 0 where it is an address, or no picture."""
        if self.type != "image" or not isinstance(self.source, Source):
            return 0
        return len(self.source.data or "")

    def within(self) -> "Iterator[tuple[str, Block]]":
        """Yield this block and those in it, each with its place in it: `.content[0]`."""
        yield "", self
        inner = [(".content", self.content)]
        if isinstance(self.source, Source):
            inner.append((".source.content", self.source.content))
        for name, content in inner:
            for place, block in enumerate(blocks_of(content)):
                for deeper, found in block.within():
                    yield f"{name}[{place}]{deeper}", found

    def words(self) -> Iterator[str]:
        """Yield its own texts, of whatever sort; the bytes of a picture are none."""
        yield from filter(None, (self.text, self.thinking, self.title, self.context))
        if isinstance(self.content, str):
            yield self.content
        if isinstance(self.source, Source) and self.type != "image":
            yield self.source.data or ""
        if self.input is not ABSENT:
            yield bytes(self.input).decode()


Content = str | tuple[Block, ...]


def blocks_of(content: Content | None) -> tuple[Block, ...]:
    """Return the blocks of a content; a text alone has none."""
    return () if content is None or isinstance(content, str) else content


def text_of(content: Content | None) -> str:
    """Return the text of a content's blocks, or the text that it is."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text for block in content if block.text)


class Turn(msgspec.Struct, frozen=True):
    """A message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Content


class Tool(msgspec.Struct, frozen=True):
    """A tool that the model may call; without a type it is the user's own."""

    name: str
    type: str | None = None
    cache_control: CacheControl | None = None


class Format(msgspec.Struct, frozen=True):
    """How the answer is to be written."""

    type: str
    schema: msgspec.Raw = ABSENT


class OutputConfig(msgspec.Struct, frozen=True):
    """What is said of the answer."""

    effort: str | None = None
    format: Format | None = None


class Body(msgspec.Struct, frozen=True):
    """A body. Other fields are passed on and not looked at."""

    model: ModelName
    max_tokens: MaxTokens
    messages: Annotated[tuple[Turn, ...], msgspec.Meta(min_length=1)]
    system: Content | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop_sequences: tuple[StopText, ...] | None = None
    tools: tuple[Tool, ...] | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    stream: bool | None = None
    container: Any = None
    context_management: Any = None
    fallbacks: Any = None
    mcp_servers: Any = None

    def blocks(self) -> Iterator[tuple[str, Block]]:
        """Yield every block of the system text and of the turns, with its place in the body."""
        contents = [("system", self.system)]
        contents += [
            (f"messages[{place}].content", turn.content) for place, turn in enumerate(self.messages)
        ]
        for name, content in contents:
            for place, block in enumerate(blocks_of(content)):
                for deeper, found in block.within():
                    yield f"{name}[{place}]{deeper}", found
