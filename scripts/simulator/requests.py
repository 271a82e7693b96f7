"""What a client sent, read off the wire."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl


class Request(NamedTuple):
    """A whole request; `version` is the header `anthropic-version`.

    The query and the headers (names in lower case) are only there where it isn't a live call.
    """

    method: str
    path: str
    key: str
    version: str
    body: bytes
    keep_alive: bool = True
    query: str = ""
    headers: Mapping[str, str] = {}

    def asked(self, name: str, default: str = "") -> str:
        """Return a parameter of the query."""
        return dict(parse_qsl(self.query)).get(name, default)

    @property
    def root(self) -> str:
        """The address under which the client reached us, without a path."""
        return f"http://{self.headers.get('host', 'localhost')}"
