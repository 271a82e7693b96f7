"""`tidemill results`: the answers of a batch as lines of JSON, CSV or Parquet, or as a table to glance at."""

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer

from api.formats import Format, format_of_name
from jobs.errors import ConfigurationError
from jobs.states import ResultStatus
from scripts.command.client import Client
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


class ResultFormat(StrEnum):
    """How results are written."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


def save_results(
    client: Client,
    batch_id: str,
    path: Path,
    shape: ResultFormat | None = None,
    query: Mapping[str, str] | None = None,
) -> str:
    """Write the results that there are to a file; return what a person is told.

    They are in the format `shape`, None for what the file's name says, else lines of JSON.

    Raises:
        ConfigurationError: the name says something that results can't be, or it can't be written.
    """
    asked = {"order": Order.INPUT.value, **(query or {})}
    named, encoding = format_of_name(path.name)
    if encoding:
        raise ConfigurationError(f"{path}: results are not packed; leave out the last ending")
    shape = shape or _SHAPES.get(named or Format.NDJSON)
    if shape is None:
        raise ConfigurationError(f"{path}: results can be .jsonl, .csv or .parquet")
    if shape is not ResultFormat.NDJSON:
        save(client.download(batch_id, {**asked, "format": shape.value}), path)
        return f"the results are in {path}"
    count = save((line + b"\n" for line in client.results(batch_id, **asked)), path)
    return f"{count:,} results are in {path}"


_SHAPES = {
    Format.NDJSON: ResultFormat.NDJSON,
    Format.JSON: ResultFormat.NDJSON,
    Format.CSV: ResultFormat.CSV,
    Format.PARQUET: ResultFormat.PARQUET,
}


def save(pieces: Iterable[bytes], path: Path) -> int:
    """Write the pieces to `path`, which appears when it is complete; return how many there are.

    A link stays one, to a file that is written so. A device or a pipe is written into: it can't be
    replaced.

    Raises:
        ConfigurationError: it can't be written.
    """
    check_writable(path)
    try:
        if stat.S_ISREG(_mode(path)):
            return _replace(Path(os.path.realpath(path)), pieces)
        with path.open("wb") as device:
            return _write(pieces, device)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}") from error


def _mode(path: Path) -> int:
    """Return what is at `path`, following links; a file where there is nothing."""
    with suppress(OSError):
        return path.stat().st_mode
    return stat.S_IFREG


def _replace(path: Path, pieces: Iterable[bytes]) -> int:
    unfinished = path.with_name(f"{path.name}.partial")
    try:
        with unfinished.open("wb") as file:
            count = _write(pieces, file)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _write(pieces: Iterable[bytes], file: IO[bytes]) -> int:
    count = 0
    for piece in pieces:
        file.write(piece)
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
    shape: Annotated[
        ResultFormat | None,
        typer.Option("--format", help="Default: what the file's name says, else lines of JSON."),
    ] = None,
    join: Annotated[
        bool,
        typer.Option("--join", help="Beside each result the columns of its sheet, or its line."),
    ] = False,
    bom: Annotated[
        bool, typer.Option("--bom", help="Begin CSV as Excel expects UTF-8 to begin.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Annotated[bool, typer.Option("--json", help="Lines of JSON, no table.")] = False,
) -> None:
    """Print the results that there are so far: lines of JSON, or a table on a terminal."""
    query = {"order": order.value} | ({"join": "input"} if join else {})
    query |= {"bom": "true"} if bom else {}
    with connect(url, key) as client:
        if failed:
            lines = without_answer(client.results(batch_id, **query))
            _print_failed(lines, output, as_json=as_json)
        elif output is not None:
            said = save_results(client, batch_id, output, shape, query)
            if not as_json:
                say(said)
        elif shape is not None and shape is not ResultFormat.NDJSON:
            for piece in client.download(batch_id, {**query, "format": shape.value}):
                sys.stdout.buffer.write(piece)
        else:
            _print(client.results(batch_id, **query), as_json=as_json or join or shape is not None)


def _print_failed(lines: Iterator[bytes], output: Path | None, *, as_json: bool) -> None:
    """Print, or save, lines of JSON: the server has no other way to leave results out."""
    if output is None:
        _print(lines, as_json=as_json)
        return
    count = save((line + b"\n" for line in lines), output)
    if not as_json:
        say(f"{count:,} results are in {output}")


def _print(lines: Iterator[bytes], *, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        for line in lines:
            sys.stdout.buffer.write(line + b"\n")
    else:
        _glance(lines)


def _glance(lines: Iterator[bytes]) -> None:
    stdout().print(result_table(json.loads(line) for line in islice(lines, GLANCE)))
    if next(lines, None) is not None:
        stdout().print(f"These are the first {GLANCE}; `-o FILE` writes all.")
