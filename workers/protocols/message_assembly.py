"""One of Anthropic's messages, put together of the events in which it comes."""

from typing import Any

import msgspec

from workers.protocols.counts import part
from workers.protocols.events import read_event


class MessageAssembly:
    """A message that comes in events; its counts of tokens are cumulative, and the last ones count."""

    def __init__(self) -> None:
        self.is_complete = False
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}

    def add(self, data: bytes) -> str:
        """Take an event; return the text that it adds."""
        event = read_event(data)
        match event.get("type"):
            case "message_start":
                self._message = dict(part(event, "message"))
            case "content_block_start":
                self._blocks[event.get("index", 0)] = dict(part(event, "content_block"))
            case "content_block_delta":
                return self._add_text(event)
            case "message_delta":
                self._message |= part(event, "delta")
                told = {
                    name: count for name, count in part(event, "usage").items() if count is not None
                }
                self._message["usage"] = {**part(self._message, "usage"), **told}
            case "message_stop":
                self.is_complete = True
            case _:
                pass
        return ""

    def _add_text(self, event: dict[str, Any]) -> str:
        text = part(event, "delta").get("text")
        if not isinstance(text, str):
            return ""
        block = self._blocks.setdefault(event.get("index", 0), {"type": "text", "text": ""})
        block["text"] = block.get("text", "") + text
        return text

    def body(self) -> bytes:
        """Return the message."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        return msgspec.json.encode({**self._message, "content": blocks})
