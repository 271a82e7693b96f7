"""The body of a submission, from the network to whoever reads it: parsed while it still arrives."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Protocol

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.formats import FORMATS, SHEETS, Format, format_of_name
from api.intake.encodings import check_encoding, unpacked
from api.intake.idempotency import Body, signs_of_life
from api.intake.json_body import JOBS, ListForm, ListReader
from api.intake.sheets import RowReader, SheetForm, csv_of, receive_parquet
from api.intake.sources import source_pieces
from api.media_type import media_type
from jobs.errors import (
    BodyTooLarge,
    InvalidParameter,
    UnreadableBody,
    UnsupportedMedia,
    WrongFormat,
)
from jobs.ingest import Accepted, Intake
from jobs.store import Session

BLOCK_BYTES = 1 << 20
"""Bytes that are handed over at once: one block is parsed and stored while the next arrives, so an
upload holds two in memory, and a slow database slows the sender down."""

GROUP_JOBS = 1000
"""Of a JSON body that are handed over at once: there could be millions of empty ones."""

PACKED = {
    b"\x1f\x8b": ("a gzip file", "say so with Content-Encoding: gzip"),
    b"\x28\xb5\x2f\xfd": ("a zstd file", "say so with Content-Encoding: zstd"),
    b"\xfd7zXZ\0": ("an xz file", "unpack it first"),
    b"BZh": ("a bzip2 file", "unpack it first"),
    b"PK\x03\x04": ("a zip file", "unpack it first"),
    b"PAR1": ("a Parquet file", "say so with Content-Type: application/vnd.apache.parquet"),
}
"""How files begin that people send as they are, what they are, and what helps; no line of JSON begins so."""

WIDE = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{", b"[\0", b"\0[")
"""How JSON begins in UTF-16, and in UTF-32."""

_DOCUMENT = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[|\{\s*"jobs"\s*:)')


@dataclass(frozen=True, slots=True)
class BodyForm:
    """How a body is to be read: unpacked from `encoding`, and then as `format`, if a sheet as `sheet` says.

    It may have `max_bytes` when it is unpacked. A document looks like `document`. With a `source` that URL
    is read instead, which may be.
    """

    format: Format
    encoding: str
    max_bytes: int
    sheet: SheetForm | None = None
    document: ListForm = JOBS
    source: str | None = None


def form_of_source(request: Request, url: str, max_bytes: int, sheet: SheetForm) -> BodyForm:
    """Return how a file is to be read: as the request's headers say, else as its name does.

    Raises:
        UnsupportedMedia: as `form_of` does.
        InvalidParameter: there is a body as well, or the name tells no format.
    """
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise InvalidParameter("`from_url`: there is a body as well; expected one of them")
    named, encoding = format_of_name(url)
    form = replace(form_of(request, max_bytes, sheet), source=url)
    if "content-encoding" not in request.headers:
        form = replace(form, encoding=encoding)
    if "content-type" in request.headers:
        return form
    if named is None:
        raise InvalidParameter("`from_url`: the name tells no format; say it as content-type")
    return replace(form, format=named)


def form_of(request: Request, max_bytes: int, sheet: SheetForm | None = None) -> BodyForm:
    """Return how the body of a request is to be read; without a `sheet` it is no table.

    Raises:
        UnsupportedMedia: it is of no format that is read, or it is packed in an unknown way.
        BodyTooLarge: its length alone says so.
    """
    encoding = check_encoding(request.headers.get("content-encoding", ""))
    # A length that is none doesn't come through the server.
    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise BodyTooLarge(f"the body has more than {max_bytes:,} bytes; send it in parts")
    content_type = media_type(request.headers.get("content-type", ""))
    found = FORMATS.get(content_type)
    if found is None or (sheet is None and found in SHEETS):
        raise UnsupportedMedia(
            f"content-type {content_type[:80]!r} is not supported; expected application/x-ndjson "
            'with one job a line, application/json with {"jobs": [...]}, text/csv, or '
            "application/vnd.apache.parquet"
        )
    return BodyForm(found, encoding, max_bytes, sheet)


class Reader(RowReader, Protocol):
    """What takes a body in, and raises what is wrong with it; its methods may block."""

    def take(self, block: bytes) -> None:
        """Read the next bytes of an NDJSON body."""
        ...

    def take_lines(self, lines: Sequence[bytes]) -> None:
        """Read whole lines."""
        ...


async def receive(
    body: Body,
    intake: Intake,
    form: BodyForm,
    *,
    also: Callable[[Session, int], None] | None = None,
) -> Accepted:
    """Read the whole body into `intake` and accept it; whatever goes wrong, nothing stays behind.

    `also` is as in `Intake.accept`.

    Raises:
        SubmissionError: see `Intake`.
        starlette.requests.ClientDisconnect: the sender went away.
    """
    try:
        async with signs_of_life(intake.touch, body):
            await read_body(body, intake, form)
            return await run_in_threadpool(partial(intake.accept, body.digest(), also=also))
    except BaseException:
        await asyncio.shield(run_in_threadpool(intake.abandon))
        raise


async def read_body(body: Body, reader: Reader, form: BodyForm) -> None:
    """Hand the whole body over to `reader`.

    Raises:
        SubmissionError: it can't be read, or the reader says so.
        starlette.requests.ClientDisconnect: the sender went away.
    """
    arriving = body.stream()
    if form.source is not None:
        await body.drain(0)
        arriving = source_pieces(form.source)
    pieces = unpacked(arriving, form.encoding, form.max_bytes)
    match form.format:
        case Format.NDJSON:
            await _receive_blocks(pieces, reader.take, _check_lines)
        case Format.JSON:
            items = ListReader(form.document)
            await _receive_blocks(pieces, partial(_take_items, items, reader), _check_text)
            await run_in_threadpool(items.end)
        case Format.CSV | Format.TSV:
            await _receive_csv(pieces, reader, _sheet_of(form))
        case Format.PARQUET:
            await receive_parquet(pieces, reader, _sheet_of(form), form.max_bytes)


def _sheet_of(form: BodyForm) -> SheetForm:
    assert form.sheet is not None  # or `form_of` would have refused it
    return form.sheet if form.format is not Format.TSV else replace(form.sheet, delimiter="\t")


async def _receive_blocks(
    pieces: AsyncIterator[bytes],
    take: Callable[[bytes], None],
    check_start: Callable[[bytearray], None],
) -> None:
    block = bytearray()
    taking: asyncio.Task[None] | None = None
    is_begun = False
    try:
        async for data in pieces:
            block += data
            if not is_begun:
                check_start(block)
            if len(block) < BLOCK_BYTES:
                continue
            is_begun = True
            if taking is not None:
                await taking
            taking = asyncio.create_task(run_in_threadpool(take, bytes(block)))
            block.clear()
    finally:
        if taking is not None:
            await taking
    await run_in_threadpool(take, bytes(block))


async def _receive_csv(pieces: AsyncIterator[bytes], reader: Reader, sheet: SheetForm) -> None:
    rows = csv_of(reader, sheet)
    await _receive_blocks(pieces, lambda block: reader.take_rows(rows.take(block)), _check_text)
    last = await run_in_threadpool(partial(rows.take, b"", is_last=True))
    await run_in_threadpool(reader.take_rows, last)


def _check_lines(start: bytearray) -> None:
    _check_text(start)
    if _DOCUMENT.match(start):
        raise WrongFormat(
            "the body is one JSON document: say so with content-type application/json, or send one "
            "job a line"
        )


def _check_text(start: bytearray) -> None:
    """Say so of a body that is no text in UTF-8, instead of calling each of its lines malformed."""
    for mark, (kind, help_) in PACKED.items():
        if start.startswith(mark):
            raise UnsupportedMedia(
                f"this looks like {kind}: {help_}; expected one job a line, or a list of jobs, as text"
            )
    if start.startswith(WIDE):
        raise UnreadableBody("the body looks like UTF-16; expected UTF-8", "invalid_encoding")


def _take_items(items: ListReader, reader: Reader, block: bytes) -> None:
    complete = items.take(block)
    while group := list(islice(complete, GROUP_JOBS)):
        reader.take_lines(group)
