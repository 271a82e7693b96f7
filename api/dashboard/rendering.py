"""Pages: templates that escape whatever they show, and the headers that every page has."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from api.access.logins import form_token, token_of
from api.dashboard import words
from api.dashboard.static_files import versioned
from jobs.clock import utcnow
from jobs.scopes import Scope
from jobs.store.logins import Visitor

HEADERS: Mapping[str, str] = {
    # Scripts, styles and pictures are files of ours; nothing that stands in a page itself is run.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    # Told to our own pages alone, or a form could not say where it comes from.
    "referrer-policy": "same-origin",
}

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,  # prompts, answers and names are whatever anybody wrote
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    count=words.count,
    short=words.short,
    usd=words.usd,
    duration=words.duration,
    rate=words.rate,
    clock=words.clock,
)
_TEMPLATES.globals.update(share=words.share, between=words.between, static=versioned, Scope=Scope)


def render(
    request: Request,
    visitor: Visitor | None,
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    **values: Any,
) -> HTMLResponse:
    """Return a page. `values` are the template's own; what every page shows is added."""
    now = utcnow()

    def ago(moment: datetime) -> str:
        return words.ago(moment, now)

    page = _TEMPLATES.get_template(template).render(
        path=request.url.path,
        visitor=visitor,
        form_token=form_token(token_of(request)) if visitor else "",
        now=now,
        ago=ago,
        status=status,
        flower_url=request.app.state.services.settings.flower_url,
        **values,
    )
    return HTMLResponse(page, status, headers=dict(HEADERS))
