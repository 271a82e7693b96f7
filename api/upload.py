"""The body of a submission, from the network into an `Intake`: parsed while it still arrives."""

import asyncio

import msgspec
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api.idempotency import Body, signs_of_life
from jobs.errors import InvalidSubmission, LineFault, SubmissionTooLarge, UnsupportedMedia
from jobs.ingest import Accepted, Intake

BLOCK_BYTES = 1 << 20
"""Bytes that are handed over at once: one block is parsed and stored while the next arrives, so an
upload holds two in memory, and a slow database slows the sender down."""

JSON_BYTES = 32 << 20
"""Of a JSON body, which can't be read before it is complete; larger submissions are NDJSON."""

NDJSON_TYPES = frozenset(
    {
        "",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonlines",
        "application/jsonlines",
        "application/octet-stream",
        "text/plain",
        "application/x-www-form-urlencoded",  # what curl --data-binary says of anything
    }
)


PACKED = {
    b"\x1f\x8b": "a gzip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\xfd7zXZ\0": "an xz file",
    b"BZh": "a bzip2 file",
    b"PK\x03\x04": "a zip file",
    b"PAR1": "a Parquet file",
}
"""How files begin that people send as they are; no line of JSON begins so."""


def body_is_json(request: Request) -> bool:
    """Return whether the body is one JSON document instead of lines.

    Raises:
        UnsupportedMedia: it is neither, or it is compressed.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise UnsupportedMedia(
            f"content-encoding {encoding[:80]!r} is not supported; send it plain"
        )
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return True
    if content_type in NDJSON_TYPES:
        return False
    raise UnsupportedMedia(
        f"content-type {content_type[:80]!r} is not supported; expected application/x-ndjson with "
        'one job a line, or application/json with {"jobs": [...]}'
    )


async def receive(body: Body, intake: Intake, *, is_json: bool) -> Accepted:
    """Read the whole body into `intake` and accept it; whatever goes wrong, nothing stays behind.

    Raises:
        SubmissionError: see `Intake`.
        starlette.requests.ClientDisconnect: the sender went away.
    """
    try:
        async with signs_of_life(intake.touch, body):
            if is_json:
                await _receive_json(body, intake)
            else:
                await _receive_lines(body, intake)
            return await run_in_threadpool(intake.accept, body.digest())
    except BaseException:
        await asyncio.shield(run_in_threadpool(intake.abandon))
        raise


async def _receive_lines(body: Body, intake: Intake) -> None:
    block = bytearray()
    storing: asyncio.Task[None] | None = None
    try:
        async for data in body.stream():
            block += data
            if storing is None:
                _refuse_packed(block)
            if len(block) < BLOCK_BYTES:
                continue
            if storing is not None:
                await storing
            storing = asyncio.create_task(run_in_threadpool(intake.take, bytes(block)))
            block.clear()
    finally:
        if storing is not None:
            await storing
    await run_in_threadpool(intake.take, bytes(block))


def _refuse_packed(start: bytearray) -> None:
    """Say so of a body that is no text, instead of calling each of its lines malformed."""
    for mark, kind in PACKED.items():
        if start.startswith(mark):
            raise UnsupportedMedia(
                f"this looks like {kind}: unpack it first; expected one job a line, as plain text"
            )


async def _receive_json(body: Body, intake: Intake) -> None:
    document = bytearray()
    async for data in body.stream():
        document += data
        if len(document) > JSON_BYTES:
            raise SubmissionTooLarge(
                f"a JSON body may have {JSON_BYTES >> 20} MiB; send more as application/x-ndjson"
            )
    _refuse_packed(document)
    await run_in_threadpool(intake.take_lines, _lines_of_json(bytes(document)))


class _Jobs(msgspec.Struct, forbid_unknown_fields=True):
    """A JSON submission."""

    jobs: list[msgspec.Raw]


def _lines_of_json(body: bytes) -> list[bytes]:
    """Return each job of `{"jobs": [...]}`, or of a bare array, as its bytes."""
    try:
        if body.lstrip()[:1] == b"[":
            jobs = msgspec.json.decode(body, type=list[msgspec.Raw])
        else:
            jobs = msgspec.json.decode(body, type=_Jobs).jobs
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fault = LineFault(1, "invalid_json", "", f'expected {{"jobs": [...]}}: {error}'[:300])
        raise InvalidSubmission(
            f"the body is not a JSON submission: {error}"[:300], faults=[fault]
        ) from error
    return [bytes(job) for job in jobs]
