"""`tidemill watch` of many batches: a board at a terminal, lines without one."""

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Group
from rich.live import Live
from rich.text import Text

from jobs.errors import ServiceUnavailable
from scripts.command.board import Board, Paces, drawn, plain_lines
from scripts.command.client import Client
from scripts.command.keystrokes import keystrokes
from scripts.command.progress import PLAIN_LINE_EVERY_S
from scripts.command.render import stdout

LOOK_EVERY_S = 1.0

NEWEST = 100
"""Batches that are looked at where none is named."""


def watch_many(
    client: Client,
    batch_ids: Sequence[str],
    *,
    is_quiet: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Board:
    """Show these batches, or the newest where none is named, and return how they stood at last.

    At a terminal until `q` or Ctrl-C is pressed, or all that were named have ended; without one, or if
    it `is_quiet`, until nothing is unfinished.

    Raises:
        NotAuthorised, NotFound: as the server says.
    """
    paces = Paces()
    board = _look(client, batch_ids, paces)
    if not is_quiet and stdout().is_terminal and sys.stdin.isatty():
        return _on_terminal(client, batch_ids, board)
    told = set() if batch_ids else board.ended
    while True:
        for line in [] if is_quiet else plain_lines(board, told):
            stdout().print(line, soft_wrap=True)
        told |= board.ended
        if not board.unfinished:
            return board
        sleep(PLAIN_LINE_EVERY_S)
        board = _look_again(client, batch_ids, board)


def _on_terminal(client: Client, batch_ids: Sequence[str], board: Board) -> Board:
    console = stdout()
    with keystrokes() as key_within, Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                below = Text("q quits", style="dim")
                live.update(Group(drawn(board, console.height - 1), below), refresh=True)
                is_over = batch_ids and not board.unfinished
                if is_over or key_within(LOOK_EVERY_S) in {"q", "Q"}:
                    break
                board = _look_again(client, batch_ids, board)
        except KeyboardInterrupt:
            pass
    console.print(drawn(board, console.height))
    return board


def _look_again(client: Client, batch_ids: Sequence[str], before: Board) -> Board:
    """Look, or stay with what was seen before while the server gives no answer."""
    try:
        return _look(client, batch_ids, before.paces)
    except ServiceUnavailable:
        return before


def _look(client: Client, batch_ids: Sequence[str], paces: Paces) -> Board:
    if batch_ids:
        batches = [client.batch(batch_id) for batch_id in batch_ids]
    else:
        batches = client.batches(NEWEST)["data"]
    paces.add(time.monotonic(), batches)
    return Board(batches, client.pools()["data"], paces)
