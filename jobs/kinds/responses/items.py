"""The items of a response's input: which of them are turns of a conversation, and what they cost."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.exchange import Message

SYSTEM = frozenset({"system", "developer"})
TEXTS = frozenset({"input_text", "output_text"})

RECKONED = frozenset({"message", "function_call", "function_call_output"})
"""Types of items that go in as the text that they are, and as pictures."""


RECKONED_OF_ITEM = frozenset(
    {"type", "role", "content", "id", "status", "call_id", "name", "arguments", "output"}
)
"""Fields of those; what another one does nobody knows."""


class Item(msgspec.Struct, frozen=True):
    """An item as we understand it.

    `text` is all of a message's. `is_plain`: it is a message of texts alone, that any provider can be
    told. `is_reckoned`: nothing of it is fetched from elsewhere, but for pictures.
    """

    role: str
    text: str
    pictures: tuple[str, ...]
    is_plain: bool
    is_reckoned: bool


def read_items(found: str | list[dict[str, Any]] | None) -> list[Item]:
    """Return the items of an input, of which a text is the user's one message."""
    if found is None:
        return []
    if isinstance(found, str):
        return [Item("user", found, (), is_plain=True, is_reckoned=True)]
    return [_item(item) for item in found]


def _item(item: Mapping[str, Any]) -> Item:
    # Who leaves the type out means a message.
    kind, role = item.get("type", "message"), item.get("role")
    content = item.get("output") if kind == "function_call_output" else item.get("content")
    pieces = content if isinstance(content, list) else []
    texts = [content] if isinstance(content, str) else [*_texts(pieces)]
    pictures = tuple(_pictures(pieces))
    has_odd = len(pieces) > len(texts) + len(pictures) or not (
        content is None or isinstance(content, str | list)
    )
    is_known = item.keys() <= RECKONED_OF_ITEM
    is_plain = (
        kind == "message"
        and is_known
        and role in SYSTEM | {"user", "assistant"}
        and content is not None
        and not pictures
        and not has_odd
    )
    return Item(
        role=role if isinstance(role, str) else "",
        text="\n".join(texts),
        pictures=pictures,
        is_plain=is_plain,
        is_reckoned=kind in RECKONED and is_known and not has_odd,
    )


def _texts(pieces: list[Any]) -> Iterator[str]:
    for piece in pieces:
        match piece:
            case {"type": str(kind), "text": str(text)} if kind in TEXTS:
                yield text
            case {"type": "refusal", "refusal": str(text)}:
                yield text
            case _:
                pass


def _pictures(pieces: list[Any]) -> Iterator[str]:
    """Yield where each picture is; one that was uploaded before has a name and no address."""
    for piece in pieces:
        match piece:
            case {"type": "input_image", "image_url": str(url)}:
                yield url
            case {"type": "input_image"}:
                yield ""
            case _:
                pass


def message_of(item: Item) -> Message:
    """Return an item as a turn."""
    return Message("assistant" if item.role == "assistant" else "user", item.text)
