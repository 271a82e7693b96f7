"""Gemini's generateContent (the Developer API)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from jobs.clock import utcnow
from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ContextTooLong,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Answer, Finish, ModelRequest, Usage
from workers.gate.gate import Reading
from workers.prompt_caching.prefix import Prefix
from workers.protocols import dialects, hints
from workers.protocols.counts import NotCredibleError, optional, part, required
from workers.protocols.encoding import json_body, key_value
from workers.protocols.events import read_event
from workers.protocols.faults import (
    UNREADABLE,
    Fault,
    decoded,
    kind_by_status,
    malformed,
    read_fault,
    word,
)
from workers.protocols.protocol import WireRequest
from workers.protocols.schemas import form_of

FINISHES = {
    "STOP": Finish.COMPLETE,
    "MAX_TOKENS": Finish.TRUNCATED,
    "CONTINUATION": Finish.TRUNCATED,
    "SAFETY": Finish.REFUSED,
    "RECITATION": Finish.REFUSED,
    "BLOCKLIST": Finish.REFUSED,
    "PROHIBITED_CONTENT": Finish.REFUSED,
    "SPII": Finish.REFUSED,
    "LANGUAGE": Finish.REFUSED,
    "ESCALATION": Finish.REFUSED,
    "PUP_LIMITED_DISABLED": Finish.REFUSED,
    "MALFORMED_FUNCTION_CALL": Finish.MALFUNCTION,
    "MALFORMED_RESPONSE": Finish.MALFUNCTION,
    "UNEXPECTED_TOOL_CALL": Finish.MALFUNCTION,
    "TOO_MANY_TOOL_CALLS": Finish.MALFUNCTION,
    "MISSING_THOUGHT_SIGNATURE": Finish.MALFUNCTION,
    "OTHER": Finish.MALFUNCTION,
}

_NO_QUOTA = re.compile(r"\blimit: 0(?![\d.])", re.ASCII)

_CONTEXT = re.compile(r"token count .{0,80}exceeds|context (?:length|window)", re.IGNORECASE)


WHOLE, STREAMED = ":generateContent", ":streamGenerateContent?alt=sse"


class _Part(msgspec.Struct, rename="camel"):
    text: Any = None
    thought: Any = None
    function_call: Any = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    content: _Content | None = None
    finish_reason: Any = None


class _Feedback(msgspec.Struct, rename="camel"):
    block_reason: Any = None


class _Reply(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    usage_metadata: Any = None
    model_version: Any = None
    response_id: Any = None


_decoder = msgspec.json.Decoder(_Reply)


class Gemini:
    """generateContent. The model stands in the path, the key in a header and never in the URL."""

    def request(
        self,
        request: ModelRequest,
        model: str,
        key: SecretStr | None,
        *,
        kept: Prefix | None = None,
    ) -> WireRequest:
        """Return the POST to `/models/MODEL:generateContent`."""
        generation: dict[str, object] = {"maxOutputTokens": request.max_tokens}
        if request.temperature is not None:
            generation["temperature"] = request.temperature
        if request.top_p is not None:
            generation["topP"] = request.top_p
        if request.stop:
            generation["stopSequences"] = request.stop
        if request.seed is not None:
            generation["seed"] = request.seed
        system = request.system
        if request.schema is not None:
            form = form_of(request.schema, dialects.GEMINI)
            system = form.told(system)
            generation["responseMimeType"] = "application/json"
            if form.native is not None:
                generation["responseJsonSchema"] = form.native
        document: dict[str, object] = {
            "contents": [
                {
                    "role": "model" if message.role == "assistant" else "user",
                    "parts": [{"text": message.content}],
                }
                for message in request.messages
            ],
            "generationConfig": generation,
        }
        if system is not None:
            document["systemInstruction"] = {"parts": [{"text": system}]}
        credentials = () if key is None else (("x-goog-api-key", key_value(key)),)
        headers = (("content-type", "application/json"), *credentials)
        # A model's name comes from a job: quoted whole, it can't lead to another path.
        name = quote(model.removeprefix("models/").encode("utf-8", "replace"), safe="")
        return WireRequest(f"/models/{name}{WHOLE}", headers, json_body(document))

    def streamed(self, wire: WireRequest) -> WireRequest:
        """Ask for events, by another method; without the query they'd come as one list."""
        return replace(wire, path=wire.path.removesuffix(WHOLE) + STREAMED)

    def assembly(self) -> "ResponseAssembly":
        """Return what puts the events together."""
        return ResponseAssembly()

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer, or raise what the reply says instead."""
        if status != 200:
            raise error_of(status, headers, body)
        try:
            reply = _decoder.decode(body)
        except UNREADABLE as error:
            raise malformed(str(error), body, headers) from None
        if reply.candidates:
            candidate = reply.candidates[0]
            text, finish = content_of(candidate), finish_of(candidate)
            refusal = None
        else:
            text, finish = None, Finish.REFUSED
            refusal = word(reply.prompt_feedback.block_reason) if reply.prompt_feedback else ""
            if not refusal:
                raise malformed("no candidates", body, headers)
        if text is None and finish is Finish.COMPLETE:
            raise malformed("no content", body, headers)
        return Answer(
            text=text or "",
            finish=finish,
            usage=usage_of(reply.usage_metadata),
            model=reply.model_version if isinstance(reply.model_version, str) else None,
            request_id=reply.response_id if isinstance(reply.response_id, str) else None,
            refusal=refusal,
            headers=headers,
        )

    def readings(self, headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
        """Return nothing: Gemini tells its limits in the body of an error, if at all."""
        return ()


class ResponseAssembly:
    """A response that comes in events, each like a whole one; counts are cumulative.

    Nothing marks the last: the answer is complete once there is a reason why it ends.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._reply: dict[str, Any] = {}
        self._candidate: dict[str, Any] = {}
        self._parts: list[Any] = []

    def add(self, data: bytes) -> str:
        """Take an event; return the text that it adds."""
        event = read_event(data)
        candidates = event.pop("candidates", None)
        self._reply |= event
        if part(event, "promptFeedback").get("blockReason"):
            self.is_complete = True
        if not (isinstance(candidates, list) and candidates and isinstance(candidates[0], dict)):
            return ""
        candidate = candidates[0]
        self._candidate |= candidate
        if candidate.get("finishReason"):
            self.is_complete = True
        parts = part(candidate, "content").get("parts")
        new = (
            [piece for piece in parts if isinstance(piece, dict)] if isinstance(parts, list) else []
        )
        self._parts += new
        return "".join(
            piece["text"]
            for piece in new
            if isinstance(piece.get("text"), str) and piece.get("thought") is not True
        )

    def body(self) -> bytes:
        """Return the response."""
        reply = dict(self._reply)
        if self._candidate:
            content = {"role": "model", "parts": self._parts}
            reply["candidates"] = [{**self._candidate, "content": content}]
        return msgspec.json.encode(reply)


def content_of(candidate: _Candidate) -> str | None:
    """Return the candidate's text without its thoughts, None where it has none."""
    parts = (candidate.content.parts if candidate.content else None) or ()
    texts = [part.text for part in parts if isinstance(part.text, str) and part.thought is not True]
    return "".join(texts) if texts else None


def finish_of(candidate: _Candidate) -> Finish:
    """Return why the model stopped; a call of a function is told by its part, not by the reason."""
    reason = candidate.finish_reason
    if not isinstance(reason, str):
        return Finish.OTHER
    if reason.startswith("IMAGE_"):
        return Finish.REFUSED
    finish = FINISHES.get(reason, Finish.OTHER)
    parts = (candidate.content.parts if candidate.content else None) or ()
    if finish is Finish.COMPLETE and any(part.function_call is not None for part in parts):
        return Finish.TOOL_CALL
    return finish


def usage_of(usage: object) -> Usage | None:
    """Return the usage in disjoint counts; None where it is missing or not credible.

    The prompt's count includes what was cached; the candidates' leaves the thoughts out. A count
    that is missing is zero, for zeros aren't sent, but no prompt is of zero tokens.
    """
    if not isinstance(usage, dict):
        return None
    try:
        prompt = required(usage.get("promptTokenCount"))
        cached = optional(usage.get("cachedContentTokenCount"))
        tools = optional(usage.get("toolUsePromptTokenCount"))
        thoughts = optional(usage.get("thoughtsTokenCount"))
        candidates = optional(usage.get("candidatesTokenCount"))
    except NotCredibleError:
        return None
    return Usage(
        input_tokens=max(0, prompt - cached) + tools,
        cached_input_tokens=cached,
        output_tokens=candidates + thoughts,
        reasoning_tokens=thoughts,
    )


@dataclass(frozen=True, slots=True)
class Details:
    """What the `details` of an error say; `quotas` are the violated ones as (id, value)."""

    retry_delay_s: float | None
    reasons: frozenset[str]
    quotas: tuple[tuple[str, str], ...]

    @property
    def is_daily(self) -> bool:
        """Whether a quota of the day is used up, which waiting for a minute doesn't change."""
        return any("PerDay" in name for name, _ in self.quotas)

    @property
    def grants_nothing(self) -> bool:
        """Whether a violated quota is zero: then no waiting helps."""
        return any(value == "0" for _, value in self.quotas)


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Return the error that a reply other than 200 says."""
    value = decoded(body)
    fields = value.get("error") if isinstance(value, dict) else None
    fields = fields if isinstance(fields, dict) else {}
    fault = read_fault(body)
    fault = Fault(fault.message, code=word(fields.get("status")))
    details = details_of(fields.get("details"))
    kind = kind_of(status, fault, details)
    wait_s = details.retry_delay_s
    if kind is QuotaExhausted and details.is_daily:
        wait_s = hints.credible(hints.until_midnight_pacific_s(utcnow()))
    return fault.error(kind, status, headers, request_id=None, wait_s=wait_s)


def kind_of(status: int, fault: Fault, details: Details) -> type[ProviderError]:
    """Return what an error reply means: by its details and canonical code, else its status."""
    if "API_KEY_INVALID" in details.reasons:
        return AuthenticationFailed
    if status == 400 and fault.code == "FAILED_PRECONDITION":
        return AccessForbidden
    if status == 499:  # CANCELLED, by the server
        return ServerFailed
    kind = kind_by_status(status)
    if kind is RateLimited:
        if details.grants_nothing or _NO_QUOTA.search(fault.message):
            return RequestRejected
        return QuotaExhausted if details.is_daily else RateLimited
    if kind is RequestRejected and _CONTEXT.search(fault.message):
        return ContextTooLong
    return kind


def details_of(details: object) -> Details:
    """Return what is of use in `details`, a list of objects that name their own type."""
    items = (
        [item for item in details if isinstance(item, dict)] if isinstance(details, list) else []
    )
    delays = [hints.duration(word(item.get("retryDelay"))) for item in items]
    waits = [hints.credible(delay) for delay in delays if delay is not None]
    return Details(
        retry_delay_s=next((wait for wait in waits if wait is not None), None),
        reasons=frozenset(word(item.get("reason")) for item in items),
        quotas=tuple(quota for item in items for quota in _violations(item)),
    )


def _violations(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    violations = item.get("violations")
    for violation in violations if isinstance(violations, list) else ():
        if isinstance(violation, dict):
            yield word(violation.get("quotaId")), word(violation.get("quotaValue"))
