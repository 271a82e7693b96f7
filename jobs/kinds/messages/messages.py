"""The kind `messages`: a request of Anthropic's batches.

A provider of that format gets the params as they were written, and its reply is the output as it
came: what it says is the caller's matter. All others are asked in their own words, and a message is
made of the answer; there a format that was asked for is looked after here, as it is for a generation.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from jobs.exchange import Answer, Endpoint, ModelRequest
from jobs.kinds.bodies import UNDECODABLE, one_line, text_of, undecodable
from jobs.kinds.kind import FieldFault, Good, Plan, Verdict
from jobs.kinds.messages.body import PARAMS, Body
from jobs.kinds.messages.mapping import asked_schema, request_of
from jobs.kinds.messages.message import message
from jobs.kinds.messages.unbounded import faults_of
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


class MessagesPlan(Plan):
    """One call, whose message is the output."""

    def __init__(self, raw: msgspec.Raw, body: Body) -> None:
        self._body = body
        self._requests = (request_of(raw, body),)

    @property
    def _schema(self) -> Schema | None:
        """The schema that is looked after here: none where a server got the format as it was written."""
        passed = self._requests[0].passed
        if passed is not None and passed.in_chat is not None:
            return None
        return asked_schema(self._body)

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """The one request."""
        return self._requests

    @property
    def wants_variety(self) -> bool:
        """Whether answers are drawn, as they are unless the params ask for a temperature of zero."""
        return self._body.temperature != 0

    def judge(self, kept: Sequence[Any], answer: Answer) -> Verdict:
        """Return the message: the provider's own, or one that is made of its answer."""
        if (reply := answer.reply_of(Endpoint.MESSAGES)) is not None:
            return Good(one_line(reply))
        verdict = text_of(answer, self._schema)
        if not isinstance(verdict, Good):
            return verdict
        return Good(message(answer, verdict.output), verdict.mended)

    def recheck(self, output: Any, was: Plan) -> Verdict | None:
        """Keep a message: a batch says nothing that would make it another."""
        return Good(output) if isinstance(was, MessagesPlan) else None
