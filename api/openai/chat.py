"""Chat completions, live: plain, or as a stream of chunks."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from api.access.auth import SubmitterProject
from api.live_calls import fields_of, flag, live_call, read_body, respond
from api.openai.chunks import DONE, Chunks, event
from api.services import ServicesDep
from jobs.errors import InvalidParameter

router = APIRouter(tags=["openai: chat"])

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "messages"],
                "properties": {
                    "model": {"type": "string", "minLength": 1},
                    "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    "stream": {"type": ["boolean", "null"]},
                },
            },
            "example": {
                "model": "gpt-4o-mini",
                "messages": [{"role": "user", "content": "Say hello."}],
            },
        }
    },
}

_FRAME: dict[str, Any] = {"id": "chatcmpl-06b7", "created": 1_795_813_200, "model": "gpt-4o-mini"}

COMPLETION: dict[str, Any] = {
    **_FRAME,
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}

CHUNK: dict[str, Any] = {
    **_FRAME,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": None}],
}

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The completion; or its chunks, as events, if the body says `stream`.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": COMPLETION},
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": (event(CHUNK) + DONE).decode(),
            },
        },
    }
}

_options = msgspec.json.Decoder(dict[str, Any])


@router.post(
    "/chat/completions",
    response_class=Response,
    responses=ANSWERS,
    openapi_extra={"requestBody": BODY},
)
async def complete(
    request: Request, services: ServicesDep, project_id: SubmitterProject
) -> Response:
    """Answer a request at once, by whichever provider serves its model.

    It goes before batches at the limits that both share, and into the same budgets.
    """
    body = fields_of(await read_body(request))
    is_streamed, wants_usage = flag(body, "stream"), _wants_usage(body)
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    call = await live_call(services, project_id, "chat", line, is_streamed=is_streamed)
    chunks = Chunks(call.id, call.job.model, wants_usage=wants_usage)
    return await respond(request, call, chunks)


def _wants_usage(body: dict[str, msgspec.Raw]) -> bool:
    """Take the options of a stream out of a body; return whether its end tells the usage.

    Raises:
        InvalidParameter: they are no object.
    """
    written = bytes(body.pop("stream_options", msgspec.Raw(b"null")))
    if written == b"null":
        return False
    try:
        return _options.decode(written).get("include_usage") is True
    except msgspec.DecodeError:
        raise InvalidParameter("expected an object", field="stream_options") from None
