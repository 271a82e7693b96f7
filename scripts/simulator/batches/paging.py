"""Pages of a list."""

from collections.abc import Sequence
from typing import Any, TypeVar

from scripts.simulator.calls import Rejected
from scripts.simulator.requests import Request

T = TypeVar("T")

DEFAULT_LIMIT = 20


def number_asked(request: Request, name: str, default: int) -> int:
    """Return a number that the query has.

    Raises:
        Rejected: it is none.
    """
    text = request.asked(name, str(default))
    if not text.isdecimal():
        raise Rejected(f"Invalid {name!r}: {text!r}.")
    return int(text)


def page_after(
    entries: list[dict[str, Any]], request: Request, name: str = "after"
) -> dict[str, Any]:
    """Return a page as OpenAI and Anthropic have it: what comes after the one that the query names."""
    names = [entry["id"] for entry in entries]
    after = request.asked(name)
    start = names.index(after) + 1 if after in names else 0
    page, following = page_of(entries, start, number_asked(request, "limit", DEFAULT_LIMIT))
    return {
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": following is not None,
    }


def page_of(entries: Sequence[T], start: int, size: int) -> tuple[Sequence[T], int | None]:
    """Return so many entries from `start` on, and where the next page starts, None for no more."""
    end = start + size
    return entries[start:end], end if end < len(entries) else None
