"""A file on its way in: a form that is parsed while it arrives, and a row once all of it is on the disk."""

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.access.audit import note
from api.access.auth import SubmitterProject
from api.openai.form import Form
from api.openai.shapes import FileShape, file_shape
from api.services import Services, ServicesDep
from jobs.characters import has_hidden
from jobs.errors import (
    BodyTooLarge,
    InvalidForm,
    InvalidParameter,
    ServiceUnavailable,
    StorageFull,
    UnsupportedEncoding,
)
from jobs.file_store import BLOCK_BYTES
from jobs.store.surfaces import files
from jobs.store.surfaces.files import FileDraft

router = APIRouter(tags=["openai: files"])

LIFETIME = timedelta(days=30)
"""Of a file of which nobody says how long it is to be kept."""

SHORTEST_S, LONGEST_S = 3600, 2_592_000

FORM_BYTES = 64 * 1024
"""Of a form beside its file."""

MAX_FILENAME_CHARACTERS = 255

DESCRIBED: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "purpose": {"type": "string", "enum": [files.BATCH]},
                        "file": {"type": "string", "format": "binary"},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": SHORTEST_S,
                            "maximum": LONGEST_S,
                        },
                    },
                }
            }
        },
    }
}


@router.post("/files", openapi_extra=DESCRIBED)
async def upload(
    request: Request, services: ServicesDep, project_id: SubmitterProject
) -> FileShape:
    """Take in a file with the lines of a batch; they are looked at when the batch is made of it."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedEncoding("a form is not to be packed")
    max_bytes = services.settings.max_upload_bytes + FORM_BYTES
    # A length that is none doesn't come through the server.
    if int(request.headers.get("content-length", "0")) > max_bytes:
        raise BodyTooLarge(f"the file has more than {services.settings.max_upload_bytes:,} bytes")
    ref = files.new_file_ref()
    with Form(request.headers.get("content-type", ""), lambda: services.files.new(ref)) as form:
        await _receive(request, form, max_bytes)
        return await run_in_threadpool(_keep, services, form, project_id, ref)


async def _receive(request: Request, form: Form, max_bytes: int) -> None:
    block, sum_bytes = bytearray(), 0
    async for data in request.stream():
        block += data
        sum_bytes += len(data)
        if sum_bytes > max_bytes:
            raise BodyTooLarge(f"the file has more than {max_bytes - FORM_BYTES:,} bytes")
        if len(block) >= BLOCK_BYTES:
            await run_in_threadpool(form.take, bytes(block))
            block.clear()
    await run_in_threadpool(form.take, bytes(block))


def _keep(services: Services, form: Form, project_id: int, ref: str) -> FileShape:
    """Make what was uploaded a file. Who dies in between leaves bytes that are tidied away."""
    file = form.finish()
    draft = _draft(form, project_id, ref, file.size_bytes)
    file.keep()
    try:
        with services.database.write() as session:
            shape = file_shape(files.insert(session, draft))
    except BaseException as error:
        # A commit whose answer was lost may have made the row: bytes without one are tidied away.
        is_undecided = isinstance(error, ServiceUnavailable) and not isinstance(error, StorageFull)
        if not is_undecided:
            services.files.delete(ref)
        raise
    note("file_uploaded", project_id, file=ref, size_bytes=draft.size_bytes)
    return shape


def _draft(form: Form, project_id: int, ref: str, size_bytes: int) -> FileDraft:
    fields = dict(form.fields)
    if fields.pop("purpose", None) != files.BATCH:
        raise InvalidParameter(f"expected the purpose `{files.BATCH}`", field="purpose")
    lifetime = _lifetime(fields)
    if fields:
        raise InvalidParameter("there is no such parameter", field=next(iter(fields))[:80])
    if len(form.filename) > MAX_FILENAME_CHARACTERS or has_hidden(form.filename):
        raise InvalidForm(
            f"expected a file name of up to {MAX_FILENAME_CHARACTERS} characters, without control "
            "or format characters"
        )
    return FileDraft(
        project_id=project_id,
        ref=ref,
        filename=form.filename or "upload",
        purpose=files.BATCH,
        size_bytes=size_bytes,
        lifetime=lifetime,
    )


def _lifetime(fields: dict[str, str]) -> timedelta:
    """Take how long the file is to be kept out of the fields."""
    anchor = fields.pop("expires_after[anchor]", None)
    seconds = fields.pop("expires_after[seconds]", None)
    if anchor is None and seconds is None:
        return LIFETIME
    if anchor != "created_at":
        raise InvalidParameter("expected `created_at`", field="expires_after[anchor]")
    if (
        seconds is None
        or not (seconds.isascii() and seconds.isdigit())
        or not SHORTEST_S <= int(seconds[:20]) <= LONGEST_S
    ):
        raise InvalidParameter(
            f"expected {SHORTEST_S} to {LONGEST_S} seconds", field="expires_after[seconds]"
        )
    return timedelta(seconds=int(seconds))
