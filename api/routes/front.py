"""The front page: where a person who opens the address in a browser finds the rest."""

from fastapi import APIRouter
from starlette.responses import HTMLResponse

router = APIRouter()

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


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def front_page() -> HTMLResponse:
    """Serve the page; it holds nothing that needs a key."""
    headers = {"content-security-policy": "default-src 'none'", "x-content-type-options": "nosniff"}
    return HTMLResponse(PAGE, headers=headers)
