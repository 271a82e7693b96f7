"""What was used and what it cost, by day and by whatever took it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from api.access.auth import Viewer
from api.dashboard import charts
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.query import WholeNumber
from api.services import ServicesDep
from jobs.clock import utcnow
from jobs.money import NANOS_PER_DOLLAR
from jobs.store.money import receipts
from jobs.store.money.ledger import SUM_NAMES, UsageDimension, UsageQuery, usage

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MOST_DAYS = 92
"""That have a column each; of more a week has one, or there would be too many to see."""

DAYS_OF_A_WEEK = 7

Group = Literal["model", "pool", "provider", "outcome", "project"]

GROUPED: Mapping[Group, tuple[UsageDimension, ...]] = {
    # Models and pools of different providers may have one name.
    "model": ("provider", "model"),
    "pool": ("provider", "pool"),
    "provider": ("provider",),
    "outcome": ("outcome",),
    "project": ("project",),
}


@router.get("/usage")
def usage_page(
    request: Request,
    services: ServicesDep,
    visitor: Viewer,
    by: Group = "model",
    days: Annotated[WholeNumber, Query(ge=1, le=366)] = 30,
) -> Response:
    """Show the project's use of so many days, up to today (UTC)."""
    today = utcnow().date()
    length = 1 if days <= MOST_DAYS else DAYS_OF_A_WEEK
    first = today - timedelta(days=days - 1)
    columns = [first + timedelta(days=passed) for passed in range(0, days, length)]
    group = GROUPED[by]
    query = UsageQuery(visitor.caller.project_id, ("day", *group), first, today, length)
    with services.database.read() as session:
        rows = usage(session, query)
        month = receipts.of_month(session, visitor.caller.project_id, today.replace(day=1))
    for row in rows:
        row["name"] = "/".join(str(row[name]) for name in group)
    sums = _sums(rows)
    rows = _ranked(sums, rows)
    names = [day.isoformat() for day in columns]
    return render(
        request,
        visitor,
        "usage.html",
        by=by,
        days=days,
        month=f"{today:%B %Y}",
        receipt_month=f"{today:%Y-%m}",
        receipt=month,
        groups=list(GROUPED),
        sums=sums,
        total={name: sum(row[name] for row in sums) for name in SUM_NAMES},
        charts=[
            chart
            for chart in (
                charts.columns(
                    f"Cost by {by}",
                    names,
                    _series(rows, columns, lambda row: row["cost_nanos"] / NANOS_PER_DOLLAR),
                    "$",
                ),
                charts.columns(
                    f"Tokens by {by}",
                    names,
                    _series(rows, columns, _tokens),
                    "tokens",
                ),
            )
            if chart is not None
        ],
    )


def _tokens(row: dict[str, Any]) -> float:
    # The input counts are disjoint, and reasoning is a part of the output.
    names = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens")
    return float(sum(row[name] for name in names))


def _sums(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the sums over all days by name, the dearest first."""
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        own = sums.setdefault(row["name"], {"name": row["name"], **dict.fromkeys(SUM_NAMES, 0)})
        for name in SUM_NAMES:
            own[name] += row[name]
    return sorted(sums.values(), key=lambda own: -own["cost_nanos"])


def _series(
    rows: list[dict[str, Any]],
    columns: Sequence[date],
    value: Callable[[dict[str, Any]], float],
) -> list[tuple[str, list[float]]]:
    series: dict[str, list[float]] = {}
    places = {day: place for place, day in enumerate(columns)}
    for row in rows:
        series.setdefault(row["name"], [0.0] * len(columns))[places[row["day"]]] += value(row)
    return list(series.items())


def _ranked(sums: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows in the order of their names' sums, so that each name has one colour in all charts."""
    places = {own["name"]: place for place, own in enumerate(sums)}
    return sorted(rows, key=lambda row: places[row["name"]])
