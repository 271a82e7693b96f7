"""`tidemill results`: the answers of a batch, as lines of JSON or as a table to glance at."""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer

from jobs.errors import ConfigurationError
from jobs.states import ResultStatus
from scripts.command.connection import DEFAULT_URL, BatchId, Key, Url, connect
from scripts.command.ending import say
from scripts.command.render import stdout
from scripts.command.tables import result_table

GLANCE = 50
"""Results in a table; who wants more wants a file."""


class Order(StrEnum):
    """Which result comes first."""

    INPUT = "input"
    FINISHED = "finished"


def save(lines: Iterable[bytes], path: Path) -> int:
    """Write the lines to `path`, which appears when it is complete; return how many there are.

    A link stays one, to a file that is written so. A device or a pipe is written into: it can't be
    replaced.

    Raises:
        ConfigurationError: it can't be written.
    """
    check_writable(path)
    try:
        if stat.S_ISREG(_mode(path)):
            return _replace(Path(os.path.realpath(path)), lines)
        with path.open("wb") as device:
            return _write(lines, device)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}") from error


def _mode(path: Path) -> int:
    """Return what is at `path`, following links; a file where there is nothing."""
    with suppress(OSError):
        return path.stat().st_mode
    return stat.S_IFREG


def _replace(path: Path, lines: Iterable[bytes]) -> int:
    unfinished = path.with_name(f"{path.name}.partial")
    try:
        with unfinished.open("wb") as file:
            count = _write(lines, file)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _write(lines: Iterable[bytes], file: IO[bytes]) -> int:
    count = 0
    for line in lines:
        file.write(line + b"\n")
        count += 1
    return count


def check_writable(path: Path) -> None:
    """Refuse a path that results could not be written to, before any work is done for them.

    Raises:
        ConfigurationError: it is a folder, or its folder is missing or not writable.
    """
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{path} is a folder, not a file")
    written = Path(os.path.realpath(path)).parent if stat.S_ISREG(mode) else path
    if not os.access(written, os.W_OK):
        raise ConfigurationError(f"{path} can't be written: its folder is missing or protected")


def without_answer(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the results of jobs that did not succeed."""
    return (line for line in lines if json.loads(line)["status"] != ResultStatus.SUCCEEDED)


def results(  # noqa: PLR0913 - a command's options are its parameters
    batch_id: BatchId,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write to this file.")
    ] = None,
    order: Annotated[Order, typer.Option(help="Which result comes first.")] = Order.INPUT,
    failed: Annotated[bool, typer.Option("--failed", help="Only jobs without an answer.")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Lines of JSON, no table.")] = False,
) -> None:
    """Print the results that there are so far: lines of JSON, or a table on a terminal."""
    with connect(url, key) as client:
        lines = client.results(batch_id, order)
        if failed:
            lines = without_answer(lines)
        if output is not None:
            count = save(lines, output)
            if not as_json:
                say(f"{count:,} results are in {output}")
        elif as_json or not sys.stdout.isatty():
            for line in lines:
                sys.stdout.buffer.write(line + b"\n")
        else:
            _glance(lines)


def _glance(lines: Iterator[bytes]) -> None:
    stdout().print(result_table(json.loads(line) for line in islice(lines, GLANCE)))
    if next(lines, None) is not None:
        stdout().print(f"These are the first {GLANCE}; `-o FILE` writes all.")
