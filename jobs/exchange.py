"""What goes to a model and what comes back, in words of our own: the same for every provider.

Kinds build a `ModelRequest`, a protocol turns it into a provider's wire format and the provider's
reply into an `Answer`; a kind checks the answer.

Values that are made for every job are msgspec's structs, here and elsewhere: a frozen dataclass of
eight fields takes 2.6 us to make, a struct 0.2.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal

import msgspec

MAX_CREDIBLE_TOKENS = 100_000_000
"""Of a call: far above the largest context window that is sold; more is a defect, not a bill."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Picture(msgspec.Struct, frozen=True):
    """A picture: its address, or `data`, its bytes in Base64, of that `media_type`."""

    url: str = ""
    media_type: str = ""
    data: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    """A call of one of the caller's tools, by the model. `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """What the call with this id has brought, as a text."""

    call_id: str
    text: str


Piece = str | Picture | ToolCall | ToolResult
"""Of a turn; a `str` is a text."""


class Turn(Message, frozen=True, forbid_unknown_fields=True):
    """A turn of more than text: `pieces` is what it consists of, and `content` the texts among them.

    Calls are the assistant's; pictures and what calls have brought are the user's, the latter first.
    """

    pieces: tuple[Piece, ...] = ()


class Tool(msgspec.Struct, frozen=True):
    """A tool that the caller runs. `parameters` is the JSON Schema of its arguments, as it was written.

    `is_strict`: the model is to be held to the schema; None where nothing is said.
    """

    name: str
    parameters: msgspec.Raw
    description: str | None = None
    is_strict: bool | None = None


class Choice(StrEnum):
    """Whether tools are called."""

    AUTO = "auto"
    """As the model likes; what is usual."""
    NONE = "none"
    SOME = "some"
    """One at least."""
    NAMED = "named"
    """The one that is named."""


class Tools(msgspec.Struct, frozen=True):
    """The tools of a request; at least one. With `one_by_one` an answer calls one at most."""

    tools: tuple[Tool, ...]
    choice: Choice = Choice.AUTO
    named: str = ""
    one_by_one: bool = False


class Endpoint(StrEnum):
    """What a body was written for, by its path at its maker's: OpenAI's, and Anthropic's."""

    CHAT = "/chat/completions"
    RESPONSES = "/responses"
    MESSAGES = "/messages"

    @property
    def maker(self) -> str:
        """Whose format it is."""
        return "Anthropic" if self is Endpoint.MESSAGES else "OpenAI"

    @property
    def place(self) -> str:
        """Where a line has the body."""
        return "params" if self is Endpoint.MESSAGES else "body"


class Lane(StrEnum):
    """How a call reaches its provider: by itself and at once, or in a native batch at half price."""

    LIVE = "live"
    BATCH = "batch"


class Ability(StrEnum):
    """What can be said, beside texts, in the formats of some providers."""

    TOOLS = "tools"
    """The caller's own, calls of them, and what these brought."""
    PICTURES = "pictures"
    """By address, or themselves."""


class Need(msgspec.Struct, frozen=True):
    """What a provider must be able to be told, and the path in the line of what it is for."""

    ability: Ability
    path: str


class Passed(msgspec.Struct, frozen=True):
    """A body that a provider with the endpoint that it was written for gets as it is.

    Only the model's name and the bound of the output are put in. For all other providers the rest of
    the request says the same, but for the fields that `unmapped` names: with one of those no provider
    without the endpoint can be asked; and with one of `needs` none whose format lacks the ability.

    Attributes:
        body: the JSON object, byte by byte.
        endpoint: what it was written for.
        unmapped: paths in the line, such as `body.tools`.
        unbounded: paths of what may cost more than can be reckoned beforehand, or of which nothing is
            known: under a budget nobody is asked with one.
        needs: paths of what is more than text.
        in_chat: what it is as a body of chat completions, for providers that have these alone; None where
            they can be asked in words of our own, or can't be asked at all.
        samples: answers to the one request, each of up to `max_tokens`.
        beside: the JSON text of what goes in beside the messages' texts: tools, calls of them.
        images: how many there are.
        image_bytes: of the body that are pictures, not text.
        added_tokens: of the input that the provider writes itself, at most.
        foreign_tokens: the same of a provider of another format, for which alone money is reserved.
    """

    body: msgspec.Raw
    endpoint: Endpoint = Endpoint.CHAT
    unmapped: tuple[str, ...] = ()
    unbounded: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    in_chat: msgspec.Raw | None = None
    samples: int = 1
    beside: str = ""
    images: int = 0
    image_bytes: int = 0
    added_tokens: int = 0
    foreign_tokens: int = 0


class ModelRequest(msgspec.Struct, frozen=True):
    """One call's content. `system` is apart from `messages`, which are user and assistant turns only.

    One that is more than text is a `Turn`. `tools` are the caller's own, which the model may call.

    `max_tokens` bounds the output, hidden reasoning included. `schema` is a JSON Schema that the
    answer must satisfy. `passed` is the request as a provider of its own format gets it, where it
    was written for one. `stop` are texts that end the answer; from `goes_on` on nothing of it is
    wanted either, and it is cut off there by whoever asks, so that it is sent only where no model
    refuses it.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    system: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: Mapping[str, Any] | None = None
    goes_on: str | None = None
    tools: Tools | None = None
    passed: Passed | None = None

    @property
    def most_output_tokens(self) -> int:
        """How many tokens can come out of the one call, all of its samples together."""
        return self.max_tokens * (1 if self.passed is None else self.passed.samples)

    def reseeded(self, by: int) -> "ModelRequest":
        """Return the request with another seed; the same if it has none, as then chance decides."""
        if by == 0 or self.seed is None:
            return self
        # After the largest number of 64 bits comes the smallest.
        seed = (self.seed + by + 2**63) % 2**64 - 2**63
        return msgspec.structs.replace(self, seed=seed)


class Finish(StrEnum):
    """Why a model stopped, across providers."""

    COMPLETE = "complete"
    TRUNCATED = "truncated"
    TOOL_CALL = "tool_call"
    REFUSED = "refused"
    MALFUNCTION = "malfunction"
    OTHER = "other"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one call. The three input counts are disjoint; `reasoning_tokens` is part of the output."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_input_tokens(self) -> int:
        """Every token that went in, however it was priced."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens

    def counts(self) -> tuple[int, int, int, int, int]:
        """The five counts, in the order of the fields."""
        return (
            self.input_tokens,
            self.cached_input_tokens,
            self.cache_write_tokens,
            self.output_tokens,
            self.reasoning_tokens,
        )


class Answer(msgspec.Struct, frozen=True):
    """A provider's complete answer. `usage` is None where the provider did not report a credible one.

    `calls` are those of the caller's tools.

    `reply` is the whole of it as it came, from a provider of a format that bodies are written for;
    `endpoint` is whose reply it is.
    """

    text: str
    finish: Finish
    usage: Usage | None
    model: str | None = None
    request_id: str | None = None
    refusal: str | None = None
    calls: tuple[ToolCall, ...] = ()
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    reply: bytes | None = None
    endpoint: Endpoint = Endpoint.CHAT

    def reply_of(self, endpoint: Endpoint) -> bytes | None:
        """Return the reply if it is one of this endpoint."""
        return self.reply if self.endpoint is endpoint else None
