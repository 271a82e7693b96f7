"""The kind `chat`: a line of OpenAI's batches.

A provider of that format gets the body as it was written, and its reply is the output as it came: what
it says is the caller's matter. All others are asked in their own words, and a completion is made of
the answer; there a format that was asked for is looked after here, as it is for a generation.
"""

from functools import cached_property
from typing import Any, Literal

import msgspec

from jobs.clock import utcnow
from jobs.exchange import Answer, Endpoint
from jobs.kinds.bodies import TIERS, UNDECODABLE, undecodable, unsupported
from jobs.kinds.chat.body import Body
from jobs.kinds.chat.completion import completion
from jobs.kinds.chat.mapping import asked_schema, request_of
from jobs.kinds.generation import DEFAULT_MAX_TOKENS, MaxTokens
from jobs.kinds.kind import FieldFault, Plan
from jobs.kinds.one_call import OneCall
from jobs.kinds.schemas import Schema

_UNBOUNDED = {
    "audio": "its tokens have a price of their own",
    "prediction": "what is predicted wrongly is billed beyond the bound of the output",
    "web_search_options": "searches are billed beside the tokens",
    "best_of": "it multiplies the output",
}
"""Fields with which a call may cost more than can be reserved for it."""

_WORDS = {
    "role": "expected `system`, `developer`, `user`, `assistant` or `tool`",
    "type": "expected `text` or `image_url`: what others cost can't be told beforehand",
}
"""Fields that take a few words only."""

_body = msgspec.json.Decoder(Body)


class ChatLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A line of a batch for `/v1/chat/completions`.

    `max_tokens` bounds the output where the body doesn't.
    """

    custom_id: str
    kind: Literal["chat"] = "chat"
    method: Literal["POST"]
    url: Literal["/v1/chat/completions"]
    body: msgspec.Raw
    max_tokens: MaxTokens = DEFAULT_MAX_TOKENS

    @cached_property
    def asked(self) -> Body:
        """The body, decoded; raises what msgspec does where it is none."""
        return _body.decode(self.body)

    @property
    def model(self) -> str:
        """The name of the model, or of a route."""
        return self.asked.model


class Chat:
    """The kind `chat`."""

    name = "chat"
    line_type = ChatLine

    def check(self, line: ChatLine) -> FieldFault | None:
        """Return what is wrong with the body, or what of it could cost more than is known."""
        try:
            body = line.asked
        except UNDECODABLE as error:
            return undecodable(error, line.body, Body, _WORDS)
        if body.stream:
            return unsupported("stream", "results are collected and read from the batch")
        for name, why in _UNBOUNDED.items():
            if getattr(body, name) is not None:
                return unsupported(name, why)
        if body.modalities is not None and set(body.modalities) != {"text"}:
            return unsupported("modalities", "answers are texts")
        if body.service_tier not in TIERS:
            return unsupported("service_tier", "this tier has a price of its own")
        return None

    def plan(self, line: ChatLine) -> Plan:
        """Return the one call of the line."""
        return ChatPlan(line)


class ChatPlan(OneCall):
    """One call, whose completion is the output."""

    endpoint = Endpoint.CHAT

    def __init__(self, line: ChatLine) -> None:
        self._body = line.asked
        super().__init__(request_of(line.body, line.asked, line.max_tokens), line.asked.temperature)

    def _asked_schema(self) -> Schema | None:
        return asked_schema(self._body)

    def _made(self, answer: Answer, text: str) -> Any:
        return completion(answer, text, utcnow())

    def _is_cut_off(self, output: Any) -> bool:
        match output:
            case {"choices": [*choices]}:
                return any(choice.get("finish_reason") == "length" for choice in choices)
            case _:
                return False
