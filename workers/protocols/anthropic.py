"""Anthropic's messages."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from pydantic import SecretStr

from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Answer, Endpoint, Finish, Message, ModelRequest, Passed, Usage
from workers.gate.gate import Reading
from workers.prompt_caching.prefix import Prefix
from workers.protocols import dialects, readings
from workers.protocols.blocks import Block, about_tools, calls_of, messages_of, text_of
from workers.protocols.counts import NotCredibleError, optional, part, required
from workers.protocols.encoding import json_body, key_value, with_fields
from workers.protocols.faults import (
    UNREADABLE,
    Fault,
    decoded,
    kind_by_status,
    malformed,
    read_fault,
)
from workers.protocols.message_assembly import MessageAssembly
from workers.protocols.protocol import WireRequest
from workers.protocols.schemas import form_of

VERSION = "2023-06-01"
"""The version that takes `temperature`; from 2026-10-21 on it is a 400, even at its default."""

FINISHES = {
    "end_turn": Finish.COMPLETE,
    "stop_sequence": Finish.COMPLETE,
    "max_tokens": Finish.TRUNCATED,
    "model_context_window_exceeded": Finish.TRUNCATED,
    "tool_use": Finish.TOOL_CALL,
    "pause_turn": Finish.TOOL_CALL,
    "refusal": Finish.REFUSED,
}

TYPES: dict[str, type[ProviderError]] = {
    "authentication_error": AuthenticationFailed,
    "billing_error": QuotaExhausted,
    "permission_error": AccessForbidden,
    "not_found_error": RequestRejected,
    "request_too_large": RequestRejected,
    "conflict_error": ServerFailed,
    "rate_limit_error": RateLimited,
    "api_error": ServerFailed,
    "timeout_error": ServerFailed,
    "overloaded_error": Overloaded,
}
"""What `error.type` decides before the status; `invalid_request_error` is left to the status."""

ERROR_CODES: dict[str, type[ProviderError]] = {
    "enforced_spend_limit_reached": QuotaExhausted,
    "contract_spend_limit_reached": QuotaExhausted,
    "organization_on_hold": AccessForbidden,
}
"""What `error.details.error_code` decides before anything else does."""


CACHE_CONTROL = {"type": "ephemeral"}
"""Keeps what stands before it for five minutes from its last use."""


class _Reply(msgspec.Struct):
    content: list[Block]
    stop_reason: Any = None
    stop_details: Any = None
    model: Any = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_Reply)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Anthropic:
    """Messages. It has no seed, so a request's seed, best effort everywhere, is not sent."""

    def request(
        self,
        request: ModelRequest,
        model: str,
        key: SecretStr | None,
        *,
        kept: Prefix | None = None,
    ) -> WireRequest:
        """Return the POST to `/messages`. A body that is passed on has its own marks for the cache."""
        if request.passed is not None:
            document = _body(request.passed, model, request.max_tokens)
        else:
            document = _written(request, model, kept)
        credentials = () if key is None else (("x-api-key", key_value(key)),)
        headers = (
            ("content-type", "application/json"),
            ("anthropic-version", VERSION),
            *credentials,
        )
        return WireRequest("/messages", headers, json_body(document))

    def streamed(self, wire: WireRequest) -> WireRequest:
        """Ask for events."""
        return replace(wire, body=with_fields(wire.body, b'"stream":true'))

    def assembly(self) -> MessageAssembly:
        """Return what puts the events together."""
        return MessageAssembly()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer, or raise what the reply says instead."""
        request_id = headers.get("request-id")
        if status != 200:
            fault, error_code = read_fault(body), error_code_of(body)
            kind = kind_of(status, fault, error_code)
            fault = Fault(fault.message, error_code, fault.error_type)
            raise fault.error(kind, status, headers, request_id=request_id)
        try:
            reply = _decoder.decode(body)
        except UNREADABLE as error:
            raise malformed(str(error), body, headers, request_id) from None
        reason = reply.stop_reason
        finish = FINISHES.get(reason, Finish.OTHER) if isinstance(reason, str) else Finish.OTHER
        return Answer(
            text=text_of(reply.content),
            finish=finish,
            usage=usage_of(reply.usage),
            model=reply.model if isinstance(reply.model, str) else None,
            request_id=request_id,
            refusal=refusal_of(reply.stop_details) if finish is Finish.REFUSED else None,
            calls=tuple(calls_of(reply.content)),
            headers=headers,
            reply=body,
            endpoint=Endpoint.MESSAGES,
        )

    def readings(self, headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
        """Return what the headers say of limits."""
        return readings.ANTHROPIC.read(headers, now)


def _body(passed: Passed, model: str, max_tokens: int) -> dict[str, object]:
    """Return a body as it was written, for this model and with this bound."""
    document: dict[str, object] = {**_fields.decode(passed.body)}
    return document | {"model": model, "max_tokens": max_tokens}


def _written(request: ModelRequest, model: str, kept: Prefix | None) -> dict[str, object]:
    document: dict[str, object] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "messages": messages_of(request.messages),
    }
    if request.tools is not None:
        document |= about_tools(request.tools)
    form = None if request.schema is None else form_of(request.schema, dialects.ANTHROPIC)
    system = request.system if form is None else form.told(request.system)
    if system is not None:
        document["system"] = system
    if kept is not None:
        document |= _marked(system, request.messages, kept.head_characters)
    if request.temperature is not None:
        document["temperature"] = request.temperature
    if request.top_p is not None:
        document["top_p"] = request.top_p
    if request.stop:
        document["stop_sequences"] = request.stop
    if form is not None and form.native is not None:
        document["output_config"] = {"format": {"type": "json_schema", "schema": form.native}}
    return document


def _marked(
    system: str | None, messages: Sequence[Message], head_characters: int
) -> dict[str, object]:
    """Return what the mark changes: it stands where the part ends that other requests begin with, too."""
    first = messages[0]
    if head_characters == 0:
        return {"system": [_block(system or "", is_marked=True)]}
    head, rest = first.content[:head_characters], first.content[head_characters:]
    blocks = [_block(head, is_marked=True)]
    if rest:  # an empty block is refused
        blocks.append(_block(rest))
    return {"messages": [{"role": first.role, "content": blocks}, *messages[1:]]}


def _block(text: str, *, is_marked: bool = False) -> dict[str, object]:
    block: dict[str, object] = {"type": "text", "text": text}
    if is_marked:
        block["cache_control"] = CACHE_CONTROL
    return block


def kind_of(status: int, fault: Fault, error_code: str) -> type[ProviderError]:
    """Return what an error reply means: by its error code, else its type, else its status.

    One 400 is told by its text alone, as the provider documents it: the spend limit that the user
    set.
    """
    by_word = ERROR_CODES.get(error_code) or TYPES.get(fault.error_type)
    if by_word is not None:
        return by_word
    is_own_limit = (
        fault.message.startswith("You have reached your specified")
        and "usage limits" in fault.message
    )
    return QuotaExhausted if status == 400 and is_own_limit else kind_by_status(status)


def error_code_of(body: bytes) -> str:
    """Return `error.details.error_code`, empty where there is none."""
    match decoded(body):
        case {"error": {"details": {"error_code": str(error_code)}}}:
            return error_code
        case _:
            return ""


def refusal_of(stop_details: object) -> str | None:
    """Return why the model refused: its explanation, else the category."""
    if not isinstance(stop_details, dict):
        return None
    said = stop_details.get("explanation") or stop_details.get("category")
    return said if isinstance(said, str) else None


def usage_of(usage: object) -> Usage | None:
    """Return the usage, whose input counts are disjoint already; None where it is not credible."""
    if not isinstance(usage, dict):
        return None
    try:
        output = required(usage.get("output_tokens"))
        return Usage(
            input_tokens=required(usage.get("input_tokens")),
            cached_input_tokens=optional(usage.get("cache_read_input_tokens")),
            cache_write_tokens=optional(usage.get("cache_creation_input_tokens")),
            output_tokens=output,
            reasoning_tokens=min(
                optional(part(usage, "output_tokens_details").get("thinking_tokens")), output
            ),
        )
    except NotCredibleError:
        return None
