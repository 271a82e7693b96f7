"""What goes over the wire."""

from typing import Any, NamedTuple

import orjson

from scripts.simulator.troubles import Trouble

JSON = "application/json"
EVENTS = "text/event-stream"


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: dict[str, str]
    content_type: str
    body: bytes


def json_reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    """Return a document as a reply."""
    return Reply(status, headers or {}, JSON, orjson.dumps(body))


GARBLED = frozenset({Trouble.HTML, Trouble.BADJSON})
"""Troubles after which a reply is not what it says."""

WEB_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to this network."


def garbled(reply: Reply, trouble: Trouble | None) -> Reply:
    """Return a reply as such a trouble leaves it."""
    match trouble:
        case Trouble.HTML:
            return Reply(200, {}, "text/html", WEB_PAGE)
        case Trouble.BADJSON:
            return reply._replace(body=reply.body[:-2] + b",,")
        case _:
            return reply
