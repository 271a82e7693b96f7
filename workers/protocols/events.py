"""Events of a stream (SSE): cut out of the bytes as they come, and what is wrong with one."""

from typing import Any

import msgspec

from jobs.errors import ConnectionLost, MalformedReply
from workers.protocols.faults import UNREADABLE, printable, read_fault

DONE = b"[DONE]"
"""What chat completions end with."""


class EventReader:
    """Cuts a stream into the data of its events. Their names stand in their data as well."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes; return the data of the events that end in them."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        events: list[bytes] = []
        for line in lines:
            text = line.removesuffix(b"\r")
            if text.startswith(b"data:"):
                self._data.append(text[5:].removeprefix(b" "))
            elif not text and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
        return events


def read_event(data: bytes) -> dict[str, Any]:
    """Return the object of an event.

    Raises:
        MalformedReply: it is none.
        ConnectionLost: it is an error, after which nothing comes; what came before may be billed.
    """
    try:
        event = msgspec.json.decode(data, type=dict[str, Any])
    except UNREADABLE as error:
        raise MalformedReply(f"an event of the answer can't be read: {error}") from None
    if event.get("error"):
        said = printable(read_fault(data).message)
        raise ConnectionLost(f"the provider broke its answer off: {said or 'it does not say why'}")
    return event
