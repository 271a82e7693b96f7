"""The replies of OpenAI's `/responses`: what they say, how they ended, what they took."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from jobs.errors import ProviderError
from jobs.exchange import Answer, Finish, Usage
from workers.protocols.counts import NotCredibleError, disjoint, optional, part, required
from workers.protocols.faults import UNREADABLE, Fault, malformed, word

KindOf = Callable[[int, Fault], type[ProviderError]]

NOT_TOLD = 500
"""The status that a failure under 200 is judged by where its code says nothing."""

REASONS = {"max_output_tokens": Finish.TRUNCATED, "content_filter": Finish.REFUSED}
"""Why a response is incomplete."""


class _Reply(msgspec.Struct):
    # Only what an answer can't do without is typed: an odd `model` must not cost a paid answer.
    status: str
    output: list[Any] = []
    model: Any = None
    id: Any = None
    usage: Any = None
    error: Any = None
    incomplete_details: Any = None


_decoder = msgspec.json.Decoder(_Reply)


def read_response(headers: Mapping[str, str], body: bytes, kind_of: KindOf) -> Answer:
    """Return the answer in a 200 reply. `kind_of` tells what the code of a failure means.

    Raises:
        MalformedReply: not JSON, or not a response that has ended.
        ProviderError: the response says that it failed, and why.
    """
    request_id = headers.get("x-request-id")
    try:
        reply = _decoder.decode(body)
    except UNREADABLE as error:
        raise malformed(str(error), body, headers, request_id) from None
    if reply.status == "failed":
        raise _failure(reply.error, headers, request_id, kind_of)
    pieces = list(_pieces(reply.output))
    texts = [text for kind, text in pieces if kind == "output_text"]
    refusals = [text for kind, text in pieces if kind == "refusal"]
    match reply.status:
        case "incomplete":
            finish = REASONS.get(word(_field(reply.incomplete_details, "reason")), Finish.OTHER)
        case "completed" if refusals:
            finish = Finish.REFUSED
        case "completed":
            finish = Finish.COMPLETE if texts else Finish.TOOL_CALL
        case _:
            raise malformed("no response that has ended", body, headers, request_id)
    return Answer(
        text="".join(texts),
        finish=finish,
        usage=usage_of(reply.usage),
        model=reply.model if isinstance(reply.model, str) else None,
        request_id=request_id or (reply.id if isinstance(reply.id, str) else None),
        refusal="".join(refusals) or None,
        headers=headers,
    )


def _failure(
    error: object, headers: Mapping[str, str], request_id: str | None, kind_of: KindOf
) -> ProviderError:
    fault = Fault(
        message=word(_field(error, "message")),
        code=word(_field(error, "code")),
    )
    return fault.error(kind_of(NOT_TOLD, fault), 200, headers, request_id=request_id)


def _pieces(output: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield the pieces of the messages: what they are, and their text."""
    for item in output:
        match item:
            case {"type": "message", "content": [*pieces]}:
                for piece in pieces:
                    match piece:
                        case {"type": "output_text", "text": str(text)}:
                            yield "output_text", text
                        case {"type": "refusal", "refusal": str(text)}:
                            yield "refusal", text
                        case _:
                            pass
            case _:
                pass


def _field(value: object, name: str) -> object:
    """Return a field of what may be an object, None where there is none."""
    return value.get(name) if isinstance(value, dict) else None


def usage_of(usage: object) -> Usage | None:
    """Return the usage in disjoint counts; None where it is missing or not credible."""
    if not isinstance(usage, dict):
        return None
    details = part(usage, "input_tokens_details")
    try:
        return disjoint(
            required(usage.get("input_tokens")),
            required(usage.get("output_tokens")),
            total=optional(usage.get("total_tokens")),
            cached=optional(details.get("cached_tokens")),
            written=optional(details.get("cache_write_tokens")),
            reasoning=optional(part(usage, "output_tokens_details").get("reasoning_tokens")),
        )
    except NotCredibleError:
        return None
