"""Batches over one WebSocket: a client says which it wants to hear of, and is told as by the events."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Annotated, assert_never

import msgspec
from fastapi import APIRouter
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.access.auth import SocketProject, may_go_on
from api.listening.following import (
    Ended,
    KeyCheck,
    Listening,
    Piece,
    Progress,
    Quiet,
    Revoked,
    Wish,
)
from api.listening.pages import ResultPage
from api.services import ServicesDep
from jobs.errors import InvalidParameter, NotAuthorised, TidemillError
from jobs.scopes import Scope

router = APIRouter(tags=["listening"])

MOST_BATCHES = 100
"""That one connection may listen to at once."""

POLICY = 1008
"""WebSocket's code for an end because of a rule (RFC 6455, 7.4.1)."""


class Subscribe(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="subscribe"):
    """Tell of a batch; `after` is the cursor of the last result that was seen."""

    batch: Annotated[str, msgspec.Meta(max_length=100)]
    results: bool = False
    after: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


class Unsubscribe(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="unsubscribe"):
    """Tell no more of a batch."""

    batch: Annotated[str, msgspec.Meta(max_length=100)]


_decode = msgspec.json.Decoder(Subscribe | Unsubscribe).decode


@router.websocket("/ws")
async def talk(websocket: WebSocket, services: ServicesDep, project_id: SocketProject) -> None:
    """Tell of batches, as many as are asked for; the messages are in docs/watching.md."""
    await websocket.accept()
    is_allowed = partial(may_go_on, websocket, services, Scope.READ)
    with suppress(WebSocketDisconnect):
        await Talk(websocket, project_id, is_allowed).run()


class Talk:
    """One connection: the batches that it hears of, a task each, one message at a time."""

    def __init__(
        self, websocket: WebSocket, project_id: int, is_allowed: Callable[[], Awaitable[bool]]
    ) -> None:
        self._websocket = websocket
        self._project_id = project_id
        self._is_allowed = is_allowed
        self._listening: Listening = websocket.app.state.listening
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()  # a slow reader's batches wait for each other

    async def run(self) -> None:
        """Do as the client says, until it goes.

        Raises:
            WebSocketDisconnect: it went.
        """
        checking = asyncio.create_task(self._keep_checking())
        try:
            while True:
                await self._obey(await self._websocket.receive())
        finally:
            for task in (checking, *self._telling.values()):
                task.cancel()

    async def _obey(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        try:
            wish = _decode(message.get("text") or message.get("bytes") or b"")
        except msgspec.DecodeError as error:  # of which a wrong field is one
            await self._refuse(None, InvalidParameter(f"the message: {error}"))
            return
        if isinstance(wish, Unsubscribe):
            if (telling := self._telling.pop(wish.batch, None)) is not None:
                telling.cancel()
        elif wish.batch in self._telling:
            await self._refuse(wish.batch, InvalidParameter("this batch is told of already"))
        elif len(self._telling) >= MOST_BATCHES:
            most = f"a connection hears of {MOST_BATCHES} batches at most"
            await self._refuse(wish.batch, InvalidParameter(most))
        else:
            self._telling[wish.batch] = asyncio.create_task(self._tell(wish))

    async def _tell(self, wish: Subscribe) -> None:
        try:
            watched = await self._listening.watcher.join(self._project_id, wish.batch)
        except TidemillError as error:
            self._telling.pop(wish.batch, None)
            await self._refuse(wish.batch, error)
            return
        pieces = self._listening.follow(watched, Wish(wish.results, wish.after), self._is_allowed)
        try:
            async for piece in pieces:
                for message in _messages(wish.batch, piece):
                    await self._send(message)
        except WebSocketDisconnect:
            pass  # which whoever receives is told too
        finally:
            self._listening.watcher.leave(watched)
            if self._telling.get(wish.batch) is asyncio.current_task():
                del self._telling[wish.batch]

    async def _keep_checking(self) -> None:
        """End a connection whose key is revoked, also if it hears of nothing."""
        await KeyCheck(self._is_allowed).fails()
        with suppress(WebSocketDisconnect, RuntimeError):  # it is ending already
            async with self._turn:
                await self._websocket.close(POLICY, NotAuthorised.code)

    async def _refuse(self, ref: str | None, error: TidemillError) -> None:
        told = {"type": "error", "batch": ref, "code": error.code, "detail": error.message}
        with suppress(WebSocketDisconnect):
            await self._send(msgspec.json.encode(told))

    async def _send(self, message: bytes) -> None:
        async with self._turn:
            await self._websocket.send_text(message.decode())


def _messages(ref: str, piece: Piece) -> Iterator[bytes]:
    batch = msgspec.json.encode(ref)
    match piece:
        case Progress(body):
            yield b'{"type":"progress","batch":%b,"data":%b}' % (batch, body)
        case ResultPage():
            told = b'{"type":"result","batch":%b,"cursor":%d,"data":%b}'
            for position, line in enumerate(piece.lines, piece.first):
                yield told % (batch, position, line)
        case Ended(state, cursor):
            told = b'{"type":"end","batch":%b,"cursor":%d,"data":{"state":"%b"}}'
            yield told % (batch, cursor, state.encode())
        case Quiet() | Revoked():
            pass  # the protocol has pings, and the connection ends
        case _:
            assert_never(piece)
