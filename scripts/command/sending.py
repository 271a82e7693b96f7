"""Sending a file to the server, again and again until there is an answer."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from jobs.errors import InvalidSubmission, ServiceUnavailable
from scripts.command.client import Client
from scripts.command.ending import Ended, ExitStatus
from scripts.command.patience import persist
from scripts.command.render import JsonObject, stderr
from scripts.command.several import JoinedUpload, placed_rows
from tidemill.upload import Upload

Send = Callable[[Upload], JsonObject]


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Say of what can't be read of a file that it is the wrong one.

    Raises:
        typer.BadParameter: it can't be read.
    """
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"{file} can't be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Sending:
    """How a file reaches a server that may be away for a while: for `retry_for_s` altogether."""

    client: Client
    file: Path
    retry_for_s: float
    is_quiet: bool

    def submit(self, upload: Upload, defaults: dict[str, str], key: str) -> JsonObject:
        """Return the accepted batch; `key` is its idempotency key."""
        again = f"the same command with --idempotency-key {shlex.quote(key)}"
        try:
            return self._persist(
                upload, lambda shown: self.client.submit(shown, defaults, key), "sending"
            )
        except KeyboardInterrupt:
            raise Ended(
                ExitStatus.INTERRUPTED,
                "interrupted",
                f"interrupted before the answer: {again} goes on, and makes no second batch",
            ) from None
        except ServiceUnavailable as error:
            error.args = (f"{error.message}; {again} makes no second batch",)
            raise

    def quote(self, upload: Upload, defaults: dict[str, str]) -> JsonObject:
        """Return what the submission would take; nothing of it is stored."""
        try:
            quote = self._persist(
                upload, lambda shown: self.client.quote(shown, defaults), "quoting"
            )
        except KeyboardInterrupt:
            raise Ended(
                ExitStatus.INTERRUPTED, "interrupted", "interrupted: nothing was submitted"
            ) from None
        return {**quote, "faults": placed_rows(quote["faults"], upload)}

    def _persist(self, upload: Upload, send: Send, word: str) -> JsonObject:
        try:
            with readable(self.file):
                return persist(
                    partial(_once, upload, send, word),
                    retry_for_s=self.retry_for_s,
                    is_quiet=self.is_quiet,
                )
        except InvalidSubmission as error:
            if isinstance(upload, JoinedUpload) and error.__cause__ is not None:  # the server's
                error.faults = tuple(map(upload.placed, error.faults))
            raise


def _once(upload: Upload, send: Send, word: str) -> JsonObject:
    console = stderr()
    columns = (TextColumn(word), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bar:
        task = bar.add_task("", total=upload.size_bytes)
        return send(replace(upload, blocks=partial(_shown, upload.blocks, bar, task)))


def _shown(blocks: Callable[[], Iterator[bytes]], bar: Progress, task: TaskID) -> Iterator[bytes]:
    for block in blocks():
        yield block
        bar.advance(task, len(block))
