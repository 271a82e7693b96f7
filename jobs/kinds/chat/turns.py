"""From the messages of a chat completion to turns that any format with the same abilities can be told."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from jobs.exchange import Ability, Message, Need, Picture, Piece, ToolCall, ToolResult, Turn
from jobs.kinds.bodies import UNDECODABLE, is_there
from jobs.kinds.chat import body

_DATA, _BASE64 = "data:", ";base64,"


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    function: _Function
    type: Literal["function"] = "function"
    index: Any = None
    """Of a chunk; some clients send it back."""


_calls = msgspec.json.Decoder(tuple[_Call, ...])
_arguments = msgspec.json.Decoder(dict[str, Any])


class Conversation:
    """The turns after what the system says first.

    Attributes:
        messages: of texts, or turns of more.
        needs: what of them not every format has words for.
        unmapped: paths of what none has.
    """

    def __init__(self, turns: Sequence[body.Turn], told: int) -> None:
        """Read `turns` from number `told` on."""
        self.messages: list[Message] = []
        self.needs: list[Need] = []
        self.unmapped: list[str] = []
        self._called: frozenset[str] = frozenset()
        """The ids of the calls that may be answered now."""
        for place, turn in enumerate(turns[told:], start=told):
            self._add(turn, f"body.messages[{place}]")

    def _add(self, turn: body.Turn, where: str) -> None:
        match turn.role:
            case "assistant":
                self._add_said(turn, where)
            case "user":
                self._add_asked(turn, where)
            case "tool":
                self._add_brought(turn, where)
            case _:
                self.unmapped.append(f"{where}.role")

    def _add_said(self, turn: body.Turn, where: str) -> None:
        calls = tuple(self._calls_of(turn.tool_calls, f"{where}.tool_calls"))
        self._called = frozenset(call.id for call in calls)
        if turn.pictures:
            self.unmapped.append(f"{where}.content")
        if not calls:
            self.messages.append(Message("assistant", turn.text))
            return
        texts = (turn.text,) if turn.text else ()
        self.messages.append(Turn("assistant", turn.text, (*texts, *calls)))

    def _calls_of(self, raw: msgspec.Raw, where: str) -> Iterator[ToolCall]:
        if not is_there(raw):
            return
        self.needs.append(Need(Ability.TOOLS, where))
        try:
            for call in _calls.decode(raw):
                arguments = call.function.arguments or "{}"
                _arguments.decode(arguments)  # others want an object, not its text
                yield ToolCall(call.id, call.function.name, arguments)
        except UNDECODABLE:
            self.unmapped.append(where)

    def _add_asked(self, turn: body.Turn, where: str) -> None:
        if not turn.pictures:
            self._add_user(turn.text, (turn.text,) if turn.text else ())
            return
        self.needs.append(Need(Ability.PICTURES, f"{where}.content"))
        try:
            self._add_user(turn.text, tuple(_pieces(turn)))
        except Unsayable:
            self.unmapped.append(f"{where}.content")

    def _add_brought(self, turn: body.Turn, where: str) -> None:
        self.needs.append(Need(Ability.TOOLS, f"{where}.role"))
        if turn.tool_call_id not in self._called:
            self.unmapped.append(f"{where}.tool_call_id")
        elif turn.pictures:
            self.unmapped.append(f"{where}.content")
        else:
            self._add_user(turn.text, (ToolResult(turn.tool_call_id or "", turn.text),))

    def _add_user(self, text: str, pieces: tuple[Piece, ...]) -> None:
        """Add what the user's side says: to its last turn, where that has what calls have brought.

        Elsewhere all of that stands in one turn, and what the user says beside it after it.
        """
        last = self.messages[-1] if self.messages else None
        if isinstance(last, Turn) and isinstance(last.pieces[0], ToolResult):
            content = "\n".join(filter(None, (last.content, text)))
            self.messages[-1] = Turn("user", content, (*last.pieces, *pieces))
        elif all(isinstance(piece, str) for piece in pieces):
            self.messages.append(Message("user", text))
        else:
            self.messages.append(Turn("user", text, pieces))


class Unsayable(Exception):
    """No other format has words for a piece."""


def _pieces(turn: body.Turn) -> Iterator[Piece]:
    assert isinstance(turn.content, tuple)  # or there was no picture
    for piece in turn.content:
        if piece.image_url is not None:
            yield _picture(piece.image_url)
        elif text := piece.text or piece.refusal:
            yield text


def _picture(found: body.ImageUrl) -> Picture:
    """Return a picture. How closely a model looks at it is said in this format alone."""
    if found.detail not in {None, "auto"}:
        raise Unsayable
    if found.url.startswith(("https://", "http://")):
        return Picture(url=found.url)
    media_type, mark, data = found.url.removeprefix(_DATA).partition(_BASE64)
    if not (found.url.startswith(_DATA) and mark and media_type.startswith("image/")):
        raise Unsayable
    return Picture(media_type=media_type, data=data)
