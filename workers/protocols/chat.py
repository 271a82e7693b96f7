"""The chat-completions format that OpenAI, Mistral and most servers share: schemas, replies, usage.

What each of them has of its own (parameters, finish reasons, errors) is in its own module.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from jobs.exchange import Answer, Finish, Usage
from workers.protocols.counts import NotCredibleError, disjoint, optional, part, required
from workers.protocols.events import DONE, read_event
from workers.protocols.faults import UNREADABLE, malformed
from workers.protocols.functions import CallAssembly, calls_of
from workers.protocols.schemas import Form


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None
    tool_calls: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Any = None


class _Reply(msgspec.Struct):
    # Only what an answer can't do without is typed: an odd `model` must not cost a paid answer.
    choices: list[_Choice]
    model: Any = None
    id: Any = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_Reply)


def read_answer(
    headers: Mapping[str, str], body: bytes, finishes: Mapping[str, Finish], id_header: str
) -> Answer:
    """Return the answer in a 200 reply. `finishes` translates the server's finish reasons.

    Raises:
        MalformedReply: not JSON, or no text where the model claims to have finished.
    """
    request_id = headers.get(id_header)
    try:
        reply = _decoder.decode(body)
    except UNREADABLE as error:
        raise malformed(str(error), body, headers, request_id) from None
    if not reply.choices:
        raise malformed("no choices", body, headers, request_id)
    choice = reply.choices[0]
    text = text_of(choice.message.content)
    refusal = choice.message.refusal
    refusal = refusal if isinstance(refusal, str) and refusal else None
    calls = tuple(calls_of(choice.message.tool_calls))
    finish = Finish.REFUSED if refusal else finish_of(choice.finish_reason, finishes)
    if calls and finish is Finish.COMPLETE:
        finish = Finish.TOOL_CALL  # a call that was demanded by name ends with `stop`
    if text is None and finish is Finish.COMPLETE:
        raise malformed("no content", body, headers, request_id)
    return Answer(
        text=text or "",
        finish=finish,
        usage=usage_of(reply.usage),
        model=reply.model if isinstance(reply.model, str) else None,
        request_id=request_id or (reply.id if isinstance(reply.id, str) else None),
        refusal=refusal,
        calls=calls,
        headers=headers,
    )


class ChatAssembly:
    """A completion that comes in chunks. Of its choices all are put together."""

    def __init__(self) -> None:
        self.is_complete = False
        self._reply: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._calls: dict[int, CallAssembly] = {}

    def add(self, data: bytes) -> str:
        """Take a chunk; return the text that it adds to the first choice."""
        if data == DONE:
            self.is_complete = True
            return ""
        chunk = read_event(data)
        told = ("id", "model", "usage")
        self._reply |= {name: chunk[name] for name in told if chunk.get(name) is not None}
        choices = chunk.get("choices")
        texts = (
            [self._add(choice) for choice in choices if isinstance(choice, dict)] if choices else ()
        )
        return "".join(texts)

    def _add(self, piece: dict[str, Any]) -> str:
        index = piece.get("index", 0)
        choice = self._choices.setdefault(index, {"message": {}, "finish_reason": None})
        if piece.get("finish_reason") is not None:
            choice["finish_reason"] = piece["finish_reason"]
        delta = part(piece, "delta")
        if "tool_calls" in delta:
            self._calls.setdefault(index, CallAssembly()).add(delta["tool_calls"])
        text = text_of(delta.get("content"))
        for name, more in (("content", text), ("refusal", delta.get("refusal"))):
            if isinstance(more, str):
                choice["message"][name] = choice["message"].get(name, "") + more
        return text or "" if index == 0 else ""

    def body(self) -> bytes:
        """Return the completion."""
        for index, assembly in self._calls.items():
            self._choices[index]["message"]["tool_calls"] = assembly.calls()
        choices = [self._choices[index] for index in sorted(self._choices)]
        return msgspec.json.encode({**self._reply, "choices": choices})


def finish_of(reason: object, finishes: Mapping[str, Finish]) -> Finish:
    """Return the finish that a reason stands for; one that is new to us is OTHER, never a crash."""
    return finishes.get(reason, Finish.OTHER) if isinstance(reason, str) else Finish.OTHER


def text_of(content: object) -> str | None:
    """Return the text of a message's content, None where it has none.

    Mistral's reasoning models send a list of chunks; what they thought is not part of the answer.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [
        chunk["text"]
        for chunk in content
        if isinstance(chunk, dict)
        and chunk.get("type") == "text"
        and isinstance(chunk.get("text"), str)
    ]
    return "".join(texts) if texts else None


def usage_of(usage: object) -> Usage | None:
    """Return the usage in disjoint counts; None where it is missing or not credible."""
    if not isinstance(usage, dict):
        return None
    try:
        return disjoint(
            required(usage.get("prompt_tokens")),
            required(usage.get("completion_tokens")),
            total=optional(usage.get("total_tokens")),
            cached=_cached(usage),
            written=optional(part(usage, "prompt_tokens_details").get("cache_write_tokens")),
            reasoning=optional(part(usage, "completion_tokens_details").get("reasoning_tokens")),
        )
    except NotCredibleError:
        return None


def _cached(usage: dict[str, object]) -> int:
    """Return the tokens read from the cache, under the name that the server has for them."""
    for details in ("prompt_tokens_details", "prompt_token_details"):
        cached = part(usage, details).get("cached_tokens")
        if cached is not None:
            return required(cached)
    return optional(usage.get("num_cached_tokens"))


def response_format(schema: Mapping[str, Any]) -> dict[str, object]:
    """Return the `response_format` that asks for JSON of this schema.

    `strict` only where the schema is one that strict mode takes: a schema that it refuses would
    cost the job, and the answer is checked against the schema in any case.
    """
    document = dict(schema)
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": document, "strict": is_strict(document)},
    }


def strict_format(form: Form) -> dict[str, object] | None:
    """Return the `response_format` for a form of a strict dialect: a schema, else any object, else none.

    The JSON mode demands that the messages tell the model of JSON, which `Form.told` does.
    """
    if form.native is not None:
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": form.native, "strict": True},
        }
    return {"type": "json_object"} if form.is_object else None


def is_strict(schema: object) -> bool:
    """Whether every object in the schema is closed and requires all of its properties."""
    if isinstance(schema, list):
        return all(is_strict(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        names = properties if isinstance(properties, dict) else {}
        needed = schema.get("required")
        if not all(isinstance(needed, list) and name in needed for name in names):
            return False
        if schema.get("additionalProperties") is not False:
            return False
    return all(is_strict(value) for value in schema.values())
