"""Messages, live: plain, or as a stream of events."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.access.auth import SubmitterProject
from api.anthropic.events import Events, event
from api.anthropic.tolerated import TOLERATED
from api.live_calls import fields_of, flag, live_call, read_body, respond
from api.services import ServicesDep

router = APIRouter(tags=["anthropic: messages"], dependencies=[TOLERATED])

BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "max_tokens", "messages"],
                "properties": {
                    "model": {"type": "string", "minLength": 1},
                    "max_tokens": {"type": "integer", "minimum": 1},
                    "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    "stream": {"type": ["boolean", "null"]},
                },
            },
            "example": {
                "model": "claude-haiku-4-5",
                "max_tokens": 300,
                "messages": [{"role": "user", "content": "Say hello."}],
            },
        }
    },
}

MESSAGE: dict[str, Any] = {
    "id": "msg_06b7",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 2},
}

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The message; or its events, if the body says `stream`.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": MESSAGE},
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": event("message_stop").decode(),
            },
        },
    }
}


@router.post(
    "/messages", response_class=Response, responses=ANSWERS, openapi_extra={"requestBody": BODY}
)
async def create(request: Request, services: ServicesDep, project_id: SubmitterProject) -> Response:
    """Answer a request at once, by whichever provider serves its model.

    It goes before batches at the limits that both share, and into the same budgets.
    """
    params = fields_of(await read_body(request))
    is_streamed = flag(params, "stream")
    line = {"params": params}
    call = await live_call(services, project_id, "messages", line, is_streamed=is_streamed)
    return await respond(request, call, Events(call))
