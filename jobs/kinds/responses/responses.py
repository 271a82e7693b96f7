"""The kind `responses`: a line of OpenAI's batches for `/v1/responses`.

A provider with that endpoint gets the body as it was written, and its reply is the output as it came:
what it says is the caller's matter. All others are asked in their own words, and a response is made of
the answer; there a format that was asked for is looked after here, as it is for a generation.
"""

from functools import cached_property
from typing import Any, Literal

import msgspec

from jobs.clock import utcnow
from jobs.exchange import Answer, Endpoint
from jobs.kinds.bodies import TIERS, UNDECODABLE, undecodable, unsupported
from jobs.kinds.generation import DEFAULT_MAX_TOKENS, MaxTokens
from jobs.kinds.kind import FieldFault, Plan
from jobs.kinds.one_call import OneCall
from jobs.kinds.responses.body import Body
from jobs.kinds.responses.mapping import asked_schema, request_of, text_settings
from jobs.kinds.responses.response import response
from jobs.kinds.schemas import Schema

_body = msgspec.json.Decoder(Body)


class ResponsesLine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True
):
    """A line of a batch for `/v1/responses`.

    `max_tokens` bounds the output where the body doesn't.
    """

    custom_id: str
    kind: Literal["responses"] = "responses"
    method: Literal["POST"]
    url: Literal["/v1/responses"]
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


class Responses:
    """The kind `responses`."""

    name = "responses"
    line_type = ResponsesLine

    def check(self, line: ResponsesLine) -> FieldFault | None:
        """Return what is wrong with the body, or what of it could bring no answer to a batch."""
        try:
            body = line.asked
        except UNDECODABLE as error:
            return undecodable(error, line.body, Body, {})
        if body.stream:
            return unsupported("stream", "results are collected and read from the batch")
        if body.background:
            return unsupported("background", "the batch itself is what runs in the background")
        if body.service_tier not in TIERS:
            return unsupported("service_tier", "this tier has a price of its own")
        if body.prompt is None and (body.input is None or body.input == []):
            return FieldFault("missing_field", "body.input", "expected a text, or a list of items")
        return None

    def plan(self, line: ResponsesLine) -> Plan:
        """Return the one call of the line."""
        return ResponsesPlan(line)


class ResponsesPlan(OneCall):
    """One call, whose response is the output."""

    endpoint = Endpoint.RESPONSES

    def __init__(self, line: ResponsesLine) -> None:
        self._body, self._text_settings = line.asked, text_settings(line.body)
        super().__init__(request_of(line.body, line.asked, line.max_tokens), line.asked.temperature)

    def _asked_schema(self) -> Schema | None:
        return asked_schema(self._body)[0]

    def _made(self, answer: Answer, text: str) -> Any:
        most = self._request.max_tokens
        return response(answer, text, self._body, self._text_settings, most, utcnow())

    def _is_cut_off(self, output: Any) -> bool:
        match output:
            case {"incomplete_details": {"reason": "max_output_tokens"}}:
                return True
            case _:
                return False
