"""Small JSON bodies, read strictly: bounded, and with every key once."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.access.auth import authorise_early
from api.media_type import media_type
from jobs.errors import BodyTooLarge, UnreadableBody, UnsupportedEncoding, UnsupportedMedia
from jobs.strict_json import LooseJson, read_strict

MAX_BYTES = 64 * 1024
"""Far above any change that there is."""


class StrictRequest(Request):
    """A request whose body, where a route asks for it as a model, is read by our own rules."""

    async def body(self) -> bytes:
        """Return the whole body.

        Raises:
            BodyTooLarge: it is larger than `MAX_BYTES`.
        """
        body = bytearray()
        async for data in self.stream():
            body += data
            if len(body) > MAX_BYTES:
                raise BodyTooLarge(f"the body has more than {MAX_BYTES:,} bytes")
        if body:
            self._check_headers()
        self._body = bytes(body)
        return self._body

    async def json(self) -> Any:
        """Return the value of the body, which FastAPI has asked for before.

        Raises:
            UnreadableBody: it is no JSON, or not strictly.
        """
        try:
            return read_strict(self._body.decode())
        except UnicodeDecodeError as error:
            raise UnreadableBody(
                f"expected UTF-8, but byte {error.start + 1} of the body is none",
                "invalid_encoding",
            ) from None
        except LooseJson as error:
            raise UnreadableBody(
                f"the body: {error.message}", error.code, line=error.line, column=error.column
            ) from None

    def _check_headers(self) -> None:
        if self.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedEncoding("only a submission's body may be packed")
        if media_type(self.headers.get("content-type", "")) != "application/json":
            raise UnsupportedMedia("expected a body of content-type application/json")


class StrictRoute(APIRoute):
    """A route whose requests are strict, and whose key is looked at before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that FastAPI makes, behind a strict request."""
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            if self.body_field is not None:
                await authorise_early(request, self.dependant)
            return await handle(StrictRequest(request.scope, request.receive))

        return handle_strictly
