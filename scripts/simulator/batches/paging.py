"""Pages of a list, as OpenAI and Anthropic have them."""

from typing import Any

from scripts.simulator.requests import Request

DEFAULT_LIMIT = 20


def page_after(entries: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """Return OpenAI's page of `entries`: those after the one that the query names."""
    page, has_more = _part(entries, request, request.asked("after"))
    return {"object": "list", **_frame(page, has_more=has_more)}


def _part(
    entries: list[dict[str, Any]], request: Request, after: str
) -> tuple[list[dict[str, Any]], bool]:
    names = [entry["id"] for entry in entries]
    start = names.index(after) + 1 if after in names else 0
    end = start + int(request.asked("limit", str(DEFAULT_LIMIT)))
    return entries[start:end], end < len(entries)


def _frame(page: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    return {
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": has_more,
    }
