"""One of Anthropic's messages, put together of the events in which it comes."""

from typing import Any

import msgspec

from workers.protocols.counts import part
from workers.protocols.events import read_event
from workers.protocols.faults import UNREADABLE


class MessageAssembly:
    """A message that comes in events; its counts of tokens are cumulative, and the last ones count."""

    def __init__(self) -> None:
        self.is_complete = False
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, str] = {}
        """What tools are called with, as JSON text."""

    def add(self, data: bytes) -> str:
        """Take an event; return the text that it adds."""
        event = read_event(data)
        match event.get("type"):
            case "message_start":
                self._message = dict(part(event, "message"))
            case "content_block_start":
                self._blocks[event.get("index", 0)] = dict(part(event, "content_block"))
            case "content_block_delta":
                return self._add_to_block(event)
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

    def _add_to_block(self, event: dict[str, Any]) -> str:
        delta, index = part(event, "delta"), event.get("index", 0)
        if isinstance(more := delta.get("partial_json"), str):
            self._inputs[index] = self._inputs.get(index, "") + more
        text = delta.get("text")
        if not isinstance(text, str):
            return ""
        block = self._blocks.setdefault(index, {"type": "text", "text": ""})
        block["text"] = block.get("text", "") + text
        return text

    def body(self) -> bytes:
        """Return the message."""
        blocks = [self._block(index) for index in sorted(self._blocks)]
        return msgspec.json.encode({**self._message, "content": list(filter(None, blocks))})

    def _block(self, index: int) -> dict[str, Any] | None:
        """Return a block, None for a call that was cut off: it is none."""
        block, called = self._blocks[index], self._inputs.get(index)
        if not called:
            return block
        try:
            msgspec.json.decode(called, type=dict[str, Any])
        except UNREADABLE:
            return None
        return {**block, "input": msgspec.Raw(called.encode())}
