"""A bound for bodies that are read whole, before anybody has asked who sends them.

Only submissions are streamed, and they are POSTs that bound themselves; what changes something is a
small JSON document in another method's body, which the framework reads before it looks for a key.
"""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WHOLE_BYTES = 64 << 10
"""A change of a budget takes a hundred."""


class BodyLimit:
    """The middleware that stops reading what is too long to be meant."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a body beyond the bound is an HTTPException for whoever reads it."""
        if scope["type"] != "http" or scope["method"] == "POST":
            await self.app(scope, receive, send)
            return
        read_bytes = 0

        async def receive_some() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > WHOLE_BYTES:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"this body may have {WHOLE_BYTES >> 10} KiB",
                )
            return message

        await self.app(scope, receive_some, send)
