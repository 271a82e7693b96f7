"""The front page and the description: what whoever opens the address finds the rest by."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.auth import PUBLIC

router = APIRouter(tags=["front"], dependencies=[PUBLIC])

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tidemill</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
</head>
<body>
<h1>Tidemill is running</h1>
<p>Send work with <code>tidemill submit JOBS.jsonl --watch</code>, or
<code>POST /api/batches</code> with an API key.</p>
<p>Look at it with <code>tidemill batches</code> and <code>tidemill show ID</code>; slices and
workers are in Flower. The interface is described in <a href="/openapi.json">openapi.json</a>.</p>
</body>
</html>
"""


@router.get("/", response_class=HTMLResponse)
async def front_page() -> HTMLResponse:
    """Serve the page; it holds nothing that needs a key."""
    return HTMLResponse(PAGE)


@router.get("/openapi.json")
async def description(request: Request) -> dict[str, Any]:
    """Describe every route there is, this one included (OpenAPI)."""
    described: dict[str, Any] = request.app.openapi()
    return described
