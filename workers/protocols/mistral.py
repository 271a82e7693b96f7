"""Mistral's chat completions: OpenAI's format with names of its own, which it insists on."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import SecretStr

from jobs.errors import ContextTooLong, Overloaded, ProviderError, RateLimited, RequestRejected
from jobs.exchange import Answer, Finish, Message, ModelRequest
from workers.gate.gate import Reading
from workers.prompt_caching.prefix import Prefix
from workers.protocols import dialects, readings
from workers.protocols.chat import ChatAssembly, read_answer, strict_format
from workers.protocols.encoding import bearer, json_body, with_fields
from workers.protocols.faults import Fault, kind_by_status, read_fault
from workers.protocols.functions import about_tools, messages_of
from workers.protocols.protocol import WireRequest
from workers.protocols.schemas import form_of

FINISHES = {
    "stop": Finish.COMPLETE,
    "length": Finish.TRUNCATED,
    "model_length": Finish.TRUNCATED,
    "tool_calls": Finish.TOOL_CALL,
    "content_filter": Finish.REFUSED,
    "error": Finish.MALFUNCTION,
}

CODES: dict[str, type[ProviderError]] = {"1300": RateLimited, "3505": Overloaded}
"""Its own numbers that decide before the status does: our rate; the model's capacity."""

_ID_HEADER = "mistral-correlation-id"

CALL_ID_CHARACTERS = 9

_CALL_ID = re.compile(rf"[a-zA-Z0-9]{{{CALL_ID_CHARACTERS}}}")

_CONTEXT = re.compile(r"context (?:length|size|window)|too many tokens", re.IGNORECASE)


class Mistral:
    """Chat completions. A field that it doesn't know is a 422, so only its own names are sent."""

    def request(
        self,
        request: ModelRequest,
        model: str,
        key: SecretStr | None,
        *,
        kept: Prefix | None = None,
    ) -> WireRequest:
        """Return the POST to `/chat/completions`."""
        form = None if request.schema is None else form_of(request.schema, dialects.MISTRAL)
        told = request.system if form is None else form.told(request.system)
        system = () if told is None else (Message("system", told),)
        document: dict[str, object] = {
            "model": model,
            "messages": [*system, *messages_of(request.messages, id_of)],
            "max_tokens": request.max_tokens,
        }
        if request.tools is not None:
            document |= about_tools(request.tools)
        if request.temperature is not None:
            document["temperature"] = request.temperature
        if request.top_p is not None:
            document["top_p"] = request.top_p
        if request.stop:
            document["stop"] = request.stop
        if request.seed is not None:
            document["random_seed"] = request.seed
        if form is not None and (answer_format := strict_format(form)) is not None:
            document["response_format"] = answer_format
        headers = (("content-type", "application/json"), *bearer(key))
        return WireRequest("/chat/completions", headers, json_body(document))

    def streamed(self, wire: WireRequest) -> WireRequest:
        """Ask for chunks; the last of them tells the usage."""
        return replace(wire, body=with_fields(wire.body, b'"stream":true'))

    def assembly(self) -> ChatAssembly:
        """Return what puts the chunks together."""
        return ChatAssembly()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer, or raise what the reply says instead."""
        if status == 200:
            return read_answer(headers, body, FINISHES, _ID_HEADER)
        fault = read_fault(body)
        kind = kind_of(status, fault)
        raise fault.error(kind, status, headers, request_id=headers.get(_ID_HEADER))

    def readings(self, headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
        """Return what the headers say of limits."""
        return readings.MISTRAL.read(headers, now)


def id_of(call_id: str) -> str:
    """Return an id of a call that is taken here, of one from elsewhere: it has nine letters and digits."""
    if _CALL_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:CALL_ID_CHARACTERS]


def kind_of(status: int, fault: Fault) -> type[ProviderError]:
    """Return what an error reply means: by its number, else its status and text."""
    kind = CODES.get(fault.code) or kind_by_status(status)
    if kind is RateLimited and "capacity exceeded" in fault.message.lower():
        return Overloaded
    if kind is RequestRejected and _CONTEXT.search(fault.message):
        return ContextTooLong
    return kind
