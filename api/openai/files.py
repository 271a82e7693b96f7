"""Files: listed, read, deleted."""

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from api.access.audit import note
from api.access.auth import ReaderProject, SubmitterProject
from api.openai.lines import lines_of
from api.openai.shapes import Deleted, FilePage, FileShape, file_shape, page_of
from api.query import WholeNumber
from api.services import Services, ServicesDep
from jobs.file_store import blocks
from jobs.states import FileContent
from jobs.store.surfaces import files
from jobs.tables import Batch, File

router = APIRouter(tags=["openai: files"])


@router.get("/files")
def list_files(
    services: ServicesDep,
    project_id: ReaderProject,
    after: str | None = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> FilePage:
    """List the project's files by when they were made; those of a batch once there is a line in them."""
    with services.database.read() as session:
        found = files.page(
            session,
            project_id,
            after=after,
            limit=limit + 1,
            purpose=purpose,
            is_ascending=order == "asc",
        )
        shown = [file_shape(file) for file in found]
    return FilePage(**page_of(shown, limit))


@router.get("/files/{file_id}")
def get_file(services: ServicesDep, project_id: ReaderProject, file_id: str) -> FileShape:
    """Return what is known of a file."""
    with services.database.read() as session:
        return file_shape(files.find(session, project_id, file_id))


@router.get(
    "/files/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {}}}},
)
def get_content(
    services: ServicesDep, project_id: ReaderProject, file_id: str
) -> StreamingResponse:
    """Stream a file. Of a batch that runs, its files hold what is there when they are asked for."""
    with services.database.read() as session:
        file = files.find(session, project_id, file_id)
        batch = None if file.batch_id is None else files.batch_of(session, file)
    # What a model wrote is saved by a browser, never shown as a page of ours.
    headers = {"content-disposition": f'attachment; filename="{file.ref}.jsonl"'}
    content = (
        blocks(services.files.open(file.ref)) if batch is None else _made(services, file, batch)
    )
    return StreamingResponse(content, media_type="application/jsonl", headers=headers)


def _made(services: Services, file: File, batch: Batch) -> Iterator[bytes]:
    assert batch.id is not None
    return lines_of(
        services.database,
        batch.id,
        batch.name or "",
        FileContent(file.content),
        batch.finished_jobs,
    )


@router.delete("/files/{file_id}")
def delete_file(services: ServicesDep, project_id: SubmitterProject, file_id: str) -> Deleted:
    """Delete a file. Batches that were made of it, or whose results it shows, keep theirs."""
    with services.database.write() as session:
        file = files.remove(session, project_id, file_id)
    if file.content == FileContent.UPLOAD:
        services.files.delete(file.ref)
    note("file_deleted", project_id, file=file.ref)
    return Deleted(id=file.ref)
