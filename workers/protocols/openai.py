"""OpenAI's chat completions, and the many servers that speak the same: vLLM, llama.cpp, Ollama.

Its `/responses` are sent only what was written for them; their replies are read in `responses`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from jobs.errors import (
    AuthenticationFailed,
    ContextTooLong,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    SchemaRefused,
    ServerFailed,
)
from jobs.exchange import Answer, Endpoint, Finish, Message, ModelRequest, Passed
from workers.gate.gate import Reading
from workers.prompt_caching.prefix import Prefix
from workers.protocols import dialects, readings
from workers.protocols.chat import ChatAssembly, read_answer, response_format, strict_format
from workers.protocols.encoding import bearer, json_body, with_fields
from workers.protocols.faults import Fault, kind_by_status, read_fault
from workers.protocols.protocol import WireRequest
from workers.protocols.responses import read_response
from workers.protocols.schemas import form_of

FINISHES = {
    "stop": Finish.COMPLETE,
    "length": Finish.TRUNCATED,
    "tool_calls": Finish.TOOL_CALL,
    "function_call": Finish.TOOL_CALL,
    "content_filter": Finish.REFUSED,
}

WORDS: dict[str, type[ProviderError]] = {
    "insufficient_quota": QuotaExhausted,
    "credit_balance_exhausted": QuotaExhausted,
    "organization_spend_limit_exceeded": QuotaExhausted,
    "project_spend_limit_exceeded": QuotaExhausted,
    "organization_usage_limit_exceeded": QuotaExhausted,
    "invalid_api_key": AuthenticationFailed,
    "context_length_exceeded": ContextTooLong,
    "unsupported_parameter": RequestRejected,
    "unsupported_value": RequestRejected,
    "invalid_prompt": RequestRejected,
    "content_policy_violation": RequestRejected,
    "model_not_found": RequestRejected,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "slow_down": RateLimited,
    "server_error": ServerFailed,
    "server_is_overloaded": Overloaded,
    "service_unavailable_error": Overloaded,
}
"""What a `code`, or else a `type`, decides before the status does. As of November 2026."""

MAX_STOPS = 4

LIMITS = ("max_completion_tokens", "max_tokens")
"""How the bound of the output is called: at OpenAI, and at the servers that speak the same."""

LIMIT_OF_RESPONSES = "max_output_tokens"

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])

_TOO_LARGE = re.compile(r"Limit:? ([\d,]{1,20}).{0,80}?Requested:? ([\d,]{1,20})", re.ASCII)

_CONTEXT = re.compile(r"context (?:length|size|window)", re.IGNORECASE)


_SCHEMA = re.compile(r"\bschema\b|\bgrammar\b|response[_ ]format", re.IGNORECASE)
"""llama.cpp: `failed to parse grammar`, `JSON schema error at …`; OpenAI: `Invalid schema for
response_format`; vLLM: `The provided JSON schema contains features not supported by xgrammar`; servers
without such a thing: `response_format.type must be 'text'`."""


class OpenAI:
    """One endpoint of a server. `base_url` decides how the bound on a completion is called.

    OpenAI's reasoning models refuse `max_tokens`; other servers may not know
    `max_completion_tokens`, and those that ignore unknown fields would then write without a bound.
    Sending both fails at OpenAI. So OpenAI's own hosts get the new name and all others the old one,
    which every such server has.
    """

    def __init__(self, base_url: str, endpoint: Endpoint = Endpoint.CHAT) -> None:
        host = urlsplit(base_url).hostname or ""
        self._is_openai = f".{host}".endswith(".openai.com")
        self._endpoint = endpoint
        if endpoint is Endpoint.RESPONSES:
            self._limit = LIMIT_OF_RESPONSES
        else:
            self._limit = LIMITS[0] if self._is_openai else LIMITS[1]

    def request(
        self,
        request: ModelRequest,
        model: str,
        key: SecretStr | None,
        *,
        kept: Prefix | None = None,
    ) -> WireRequest:
        """Return the POST to the endpoint."""
        headers = (("content-type", "application/json"), *bearer(key))
        if request.passed is not None and request.passed.endpoint is self._endpoint:
            body = self._body(request.passed, model, request.max_tokens)
        else:
            body = self._written(request, model)
        return WireRequest(self._endpoint.value, headers, json_body(body))

    def _body(self, passed: Passed, model: str, max_tokens: int) -> dict[str, object]:
        """Return a body as it was written, for this model and with this bound of each sample."""
        document: dict[str, object] = {**_fields.decode(passed.body)}
        for name in (*LIMITS, LIMIT_OF_RESPONSES):
            document.pop(name, None)
        return document | {"model": model, self._limit: max_tokens}

    def _written(self, request: ModelRequest, model: str) -> dict[str, object]:
        told, answer_format = self._asked(request, model)
        system = () if told is None else (Message("system", told),)
        document: dict[str, object] = {
            "model": model,
            "messages": (*system, *request.messages),
            self._limit: request.max_tokens,
        }
        if request.temperature is not None:
            document["temperature"] = request.temperature
        if request.top_p is not None:
            document["top_p"] = request.top_p
        if stop := self._stop(request):
            document["stop"] = stop
        if request.seed is not None:
            document["seed"] = request.seed
        if answer_format is not None:
            document["response_format"] = answer_format
        return document

    def _stop(self, request: ModelRequest) -> tuple[str, ...]:
        """Return the texts that end the answer: OpenAI's reasoning models refuse any, and none goes on."""
        if request.goes_on is None or self._is_openai or len(request.stop) == MAX_STOPS:
            return request.stop
        return (*request.stop, request.goes_on)

    def _asked(
        self, request: ModelRequest, model: str
    ) -> tuple[str | None, dict[str, object] | None]:
        """Return the system text and the format that ask for values of the request's schema.

        Other servers of this format mostly compile the schema as it is, and know more of it than
        strict mode does.
        """
        if request.schema is None:
            return request.system, None
        if not self._is_openai:
            return request.system, response_format(request.schema)
        is_tuned = model.startswith("ft:")
        form = form_of(request.schema, dialects.PLAIN_STRICT if is_tuned else dialects.OPENAI)
        return form.told(request.system), strict_format(form)

    def streamed(self, wire: WireRequest) -> WireRequest:
        """Ask for chunks, and for the usage in the last of them."""
        body = with_fields(wire.body, b'"stream":true,"stream_options":{"include_usage":true}')
        return replace(wire, body=body)

    def assembly(self) -> ChatAssembly:
        """Return what puts the chunks together."""
        return ChatAssembly()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer, or raise what the reply says instead."""
        if status == 200:
            return msgspec.structs.replace(
                self._read(headers, body), reply=body, endpoint=self._endpoint
            )
        fault = read_fault(body)
        kind = kind_of(status, fault)
        raise fault.error(kind, status, headers, request_id=headers.get("x-request-id"))

    def _read(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._endpoint is Endpoint.RESPONSES:
            return read_response(headers, body, kind_of)
        return read_answer(headers, body, FINISHES, "x-request-id")

    def readings(self, headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
        """Return what the headers say of limits."""
        return readings.OPENAI.read(headers, now)


def kind_of(status: int, fault: Fault) -> type[ProviderError]:
    """Return what an error reply means: by its code, else its type, else its status and text."""
    kind = WORDS.get(fault.code) or WORDS.get(fault.error_type) or kind_by_status(status)
    if kind is RateLimited and exceeds_limit(fault.message):
        return RequestRejected
    if kind is RateLimited and "resource unavailable" in fault.message.lower():
        # The flex tier has no machines left; it is not our quota.
        return Overloaded
    if kind is RequestRejected and _CONTEXT.search(fault.message):
        # vLLM and llama.cpp say this in words only.
        return ContextTooLong
    if kind is RequestRejected and _SCHEMA.search(fault.message):
        return SchemaRefused
    return kind


def exceeds_limit(message: str) -> bool:
    """Whether a rate limit's message says that this one request is larger than the whole limit."""
    found = _TOO_LARGE.search(message)
    if found is None:
        return False
    limit, requested = (int(number.replace(",", "") or 0) for number in found.groups())
    return requested > limit
