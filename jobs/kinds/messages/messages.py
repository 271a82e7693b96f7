"""The kind `messages`: a request of Anthropic's batches.

A provider of that format gets the params as they were written, and its reply is the output as it
came: what it says is the caller's matter. All others are asked in their own words, and a message is
made of the answer; there a format that was asked for is looked after here, as it is for a generation.
"""

import re
from functools import cached_property
from typing import Any, Literal

import msgspec

from jobs.exchange import Answer, Endpoint
from jobs.kinds.bodies import UNDECODABLE, undecodable
from jobs.kinds.kind import FieldFault, Plan
from jobs.kinds.messages.body import PARAMS, Body
from jobs.kinds.messages.mapping import asked_schema, request_of
from jobs.kinds.messages.message import message
from jobs.kinds.messages.unbounded import faults_of
from jobs.kinds.one_call import OneCall
from jobs.kinds.schemas import Schema

_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

_WORDS = {
    "role": "expected `user` or `assistant`",
    "type": "expected `text`, `image`, `document`, `search_result`, `tool_use`, `tool_result`, "
    "`thinking` or `redacted_thinking`: what others cost can't be told beforehand",
}
"""Fields that take a few words only."""

_body = msgspec.json.Decoder(Body)


class MessagesLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True
):
    """A request of a batch of messages."""

    custom_id: str
    kind: Literal["messages"] = "messages"
    params: msgspec.Raw

    @cached_property
    def asked(self) -> Body:
        """The params, decoded; raises what msgspec does where they are none."""
        return _body.decode(self.params)

    @property
    def model(self) -> str:
        """The name of the model, or of a route."""
        return self.asked.model


class Messages:
    """The kind `messages`."""

    name = "messages"
    line_type = MessagesLine

    def check(self, line: MessagesLine) -> FieldFault | None:
        """Return what is wrong with the params, or what of them could cost more than is known."""
        if not _CUSTOM_ID.fullmatch(line.custom_id):
            return FieldFault(
                "invalid_custom_id",
                "custom_id",
                "expected 1 to 64 letters, digits, `_` and `-`",
            )
        try:
            body = line.asked
        except UNDECODABLE as error:
            return undecodable(error, line.params, Body, _WORDS, place=PARAMS)
        return next(faults_of(body), None)

    def plan(self, line: MessagesLine) -> Plan:
        """Return the one call of the line."""
        return MessagesPlan(line.params, line.asked)


class MessagesPlan(OneCall):
    """One call, whose message is the output. A batch says nothing that would make it another."""

    endpoint = Endpoint.MESSAGES

    def __init__(self, raw: msgspec.Raw, body: Body) -> None:
        self._body = body
        super().__init__(request_of(raw, body), body.temperature)

    def _asked_schema(self) -> Schema | None:
        return asked_schema(self._body)

    def _made(self, answer: Answer, text: str) -> Any:
        return message(answer, text)
