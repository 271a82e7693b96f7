"""The description: what a program finds the rest by. What people find it by is the dashboard."""

from typing import Any

from fastapi import APIRouter, Request

from api.access.auth import PUBLIC

router = APIRouter(tags=["front"], dependencies=[PUBLIC])


@router.get("/openapi.json")
async def description(request: Request) -> dict[str, Any]:
    """Describe every route there is, this one included (OpenAPI)."""
    described: dict[str, Any] = request.app.openapi()
    return described
