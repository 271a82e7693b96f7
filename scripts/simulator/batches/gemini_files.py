"""Gemini's files: sent in pieces to an address of their own, and fetched from yet another."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from scripts.simulator.batches.desk import Desk
from scripts.simulator.batches.form import Done
from scripts.simulator.batches.routing import Route
from scripts.simulator.batches.shelf import File
from scripts.simulator.calls import FailureKind, Rejected
from scripts.simulator.dialects.reading import decode
from scripts.simulator.faults import Place
from scripts.simulator.replies import Reply, json_reply
from scripts.simulator.requests import Request

KEPT_S = 48 * 3600
UNFINISHED = "unfinished"
"""The purpose of a file of which the last piece is not there yet."""


class FileIn(msgspec.Struct, rename="camel", frozen=True):
    """A file that is to come."""

    display_name: str = ""
    mime_type: str = ""


class Start(msgspec.Struct):
    """The body that begins an upload."""

    file: FileIn = FileIn()


_start = msgspec.json.Decoder(Start)


def upload(desk: Desk, request: Request, version: str) -> Done:  # noqa: ARG001 - the signature
    """Begin an upload, or take a piece of one; the last one makes the file."""
    commands = {
        word.strip() for word in request.headers.get("x-goog-upload-command", "").split(",")
    }
    if "start" in commands:
        return _begin(desk, request)
    file = desk.shelf.get(request.asked("upload_id"))
    if file is None or file.purpose != UNFINISHED:
        raise Rejected("Requested entity was not found.", FailureKind.NOT_FOUND)
    if int(request.headers.get("x-goog-upload-offset", "0")) != len(file.data):
        raise Rejected(f"The upload is at {len(file.data)}.")
    file.data += request.body
    if "finalize" not in commands:
        return Done(json_reply(200, {}, {"x-goog-upload-status": "active"}))
    file.purpose = "batch"
    return Done(json_reply(200, {"file": file_shape(file)}, {"x-goog-upload-status": "final"}))


def _begin(desk: Desk, request: Request) -> Done:
    if request.headers.get("x-goog-upload-protocol") != "resumable":
        raise Rejected("X-Goog-Upload-Protocol must be resumable")
    size_bytes = int(request.headers.get("x-goog-upload-header-content-length", "0"))
    if desk.ways.max_bytes is not None and size_bytes > desk.ways.max_bytes:
        raise Rejected(f"The file is too large: {size_bytes} bytes.")
    wanted = decode(_start, request.body or b"{}").file
    file = desk.shelf.put(wanted.display_name, UNFINISHED, b"", int(desk.wall()))
    address = f"{request.root}{request.path}?upload_id={file.id}&upload_protocol=resumable"
    headers = {"x-goog-upload-url": address, "x-goog-upload-status": "active"}
    return Done(json_reply(200, {}, headers))


def look(desk: Desk, request: Request, version: str, name: str) -> Done:  # noqa: ARG001
    """Return what a file is."""
    return Done(json_reply(200, file_shape(find_file(desk, f"files/{name}"))))


def delete(desk: Desk, request: Request, version: str, name: str) -> Done:  # noqa: ARG001
    """Remove a file."""
    desk.shelf.remove(find_file(desk, f"files/{name}").id)
    return Done(json_reply(200, {}))


def download(desk: Desk, request: Request, version: str, name: str) -> Done:  # noqa: ARG001
    """Return what a file of results holds; what was uploaded can't be fetched."""
    file = find_file(desk, f"files/{name}")
    if file.purpose != "batch_output" or request.asked("alt") != "media":
        raise Rejected("This file can't be downloaded.")
    return Done(Reply(200, {}, "application/octet-stream", file.data), file.rows)


def find_file(desk: Desk, name: str) -> File:
    """Return the file that is called `files/ID`.

    Raises:
        Rejected: there is none.
    """
    file = desk.shelf.get(name.removeprefix("files/"))
    if file is None or file.purpose == UNFINISHED:
        raise Rejected(
            "You do not have permission to access the File or it may not exist.",
            FailureKind.FORBIDDEN,
        )
    return file


def file_shape(file: File) -> dict[str, Any]:
    """Return a file as Google shows it."""
    return {
        "name": f"files/{file.id}",
        "displayName": file.name,
        "mimeType": "jsonl",
        "sizeBytes": str(len(file.data)),
        "createTime": time_of(file.created_at),
        "expirationTime": time_of(file.created_at + KEPT_S),
        "uri": f"https://generativelanguage.googleapis.com/v1beta/files/{file.id}",
        "state": "ACTIVE",
    }


def time_of(at: float) -> str:
    """Return a time as Google writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


FILE_ROUTES = (
    # The root of one who knows our address as `/gemini`, and of one who sees it as Google's `/`.
    Route("POST", "/gemini/upload/{}/files", Place.UPLOAD, upload),
    Route("POST", "/upload/gemini/{}/files", Place.UPLOAD, upload),
    Route("PUT", "/gemini/upload/{}/files", Place.UPLOAD, upload),
    Route("PUT", "/upload/gemini/{}/files", Place.UPLOAD, upload),
    Route("GET", "/gemini/{}/files/{}", Place.LOOK, look),
    Route("DELETE", "/gemini/{}/files/{}", Place.DELETE, delete),
    Route("GET", "/gemini/download/{}/files/{}:download", Place.RESULTS, download),
    Route("GET", "/download/gemini/{}/files/{}:download", Place.RESULTS, download),
)
