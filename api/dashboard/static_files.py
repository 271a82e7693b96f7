"""The few files that pages load: the style, three scripts and the picture in a browser's tab."""

import hashlib
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from api.access.auth import PUBLIC
from jobs.errors import NotFound

router = APIRouter(dependencies=[PUBLIC], include_in_schema=False)

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

FILES = {
    path.name: path.read_bytes()
    for path in (Path(__file__).parent / "static").iterdir()
    if path.suffix in TYPES
}

FOR_GOOD = "public, max-age=31536000, immutable"
"""A file's address changes with what is in it."""


def versioned(name: str) -> str:
    """Return the address of a file, by which a browser may keep it for good."""
    return f"/static/{name}?v={hashlib.sha256(FILES[name]).hexdigest()[:12]}"


@router.get("/static/{name}")
async def static_file(name: str) -> Response:
    """Serve one of the files."""
    if name not in FILES:
        raise NotFound("there is no such file")
    media_type = TYPES[Path(name).suffix]
    return Response(FILES[name], media_type=media_type, headers={"cache-control": FOR_GOOD})
