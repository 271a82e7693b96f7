"""The server's side of a connection, where uvicorn's own leaves something open.

It bounds a head that never ends, refuses a target that names another host, and answers what is no
HTTP with a problem document like everything else.
"""

from http import HTTPStatus

from starlette.responses import JSONResponse
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import problem
from api.front_door import MAX_HEADERS_BYTES, headers_too_large, invalid_host, uri_too_long
from api.headers import TOLD

MAX_TARGET_BYTES = 60 * 1024
"""Path and query: a submission's defaults, a schema among them, stand in the query. The parser that
cuts it up takes a little more."""

MAX_HEAD_BYTES = MAX_TARGET_BYTES + 2 * MAX_HEADERS_BYTES
"""Of a head that isn't complete yet. What is complete is judged by the front door."""


class Listener(HttpToolsProtocol):
    """A connection; to be given to uvicorn as its `http`."""

    _head_bytes = 0
    _is_in_head = False
    _refusal: JSONResponse | None = None

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and end a connection whose head doesn't end."""
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._answer(headers_too_large())

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Look at the target before it is cut up: its host would be forgotten then."""
        self._is_in_head = False
        if len(self.url) > MAX_TARGET_BYTES:
            self._refusal = uri_too_long(MAX_TARGET_BYTES)
        elif not self.url.startswith(b"/") and self.url != b"*":
            self._refusal = invalid_host()
        if self._refusal is not None:
            raise ValueError("refused")  # the parser stops, and `send_400_response` answers
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what can't be parsed."""
        self._answer(self._refusal or problem(HTTPStatus.BAD_REQUEST, "invalid_http", msg))

    def _answer(self, response: JSONResponse) -> None:
        response.headers.update({**TOLD, "connection": "close"})
        head = [*self.server_state.default_headers, *response.raw_headers]
        lines = [name + b": " + value + b"\r\n" for name, value in head]
        status_line = STATUS_LINE[response.status_code]
        self.transport.write(b"".join([status_line, *lines, b"\r\n", bytes(response.body)]))
        self.transport.close()
