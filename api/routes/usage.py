"""What was used and what it cost, from the ledger."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.access.auth import ReaderProject
from api.query import Day
from api.services import ServicesDep
from jobs.errors import InvalidParameter
from jobs.money import format_known, format_usd
from jobs.store.money.ledger import SUM_NAMES, UsageDimension, UsageQuery, usage

router = APIRouter(tags=["usage"])

DIMENSIONS: tuple[UsageDimension, ...] = (
    "day",
    "project",
    "provider",
    "pool",
    "model",
    "outcome",
)


@router.get("/usage")
def get_usage(
    services: ServicesDep,
    project_id: ReaderProject,
    by: Annotated[str, Query(description="comma-separated: " + ", ".join(DIMENSIONS))] = "day",
    since: Annotated[Day | None, Query(description="first day, UTC")] = None,
    until: Annotated[Day | None, Query(description="last day, UTC")] = None,
) -> dict[str, Any]:
    """Return attempts, tokens and cost, grouped by `by`, with their total.

    `cost_usd` is the sum of what is known and leaves out `unpriced_attempts`, whose model has no
    price; it is null where nothing is known. `cache_saved_usd` is how much less it is than without the
    providers' prompt caches; of batches that are older than that figure nothing is in it.
    """
    with services.database.read() as session:
        rows = usage(session, UsageQuery(project_id, _dimensions(by), since, until))
    total = {name: sum(row[name] for row in rows) for name in SUM_NAMES}
    return {"data": [_readable(row) for row in rows], "total": _readable(total)}


def _dimensions(by: str) -> list[UsageDimension]:
    names = [name.strip() for name in by.split(",") if name.strip()]
    known = {name: name for name in DIMENSIONS}
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise InvalidParameter(
            f"by: expected different names of {', '.join(DIMENSIONS)}, got {by[:80]!r}"
        )
    return [known[name] for name in names]  # type: ignore[index]  # checked above


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """Turn the sums of a row into what people read: money as a decimal string."""
    cost_nanos, saved_nanos = row.pop("cost_nanos"), row.pop("cache_saved_nanos")
    return {
        **row,
        "cost_usd": format_known(cost_nanos, row["unpriced_attempts"]),
        "cache_saved_usd": format_usd(saved_nanos),
    }
