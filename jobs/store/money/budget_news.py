"""What webhooks are to be told of a project's caps: that much of a day's or a month's is spent.

The cap's row keeps what was told, and of which day and month; messages and mark are one transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlmodel import Session, col, select

from jobs.budget import month_start
from jobs.money import format_usd
from jobs.states import BatchState, PauseCause
from jobs.store.money.budgets import standing
from jobs.tables import Batch, ProjectBudget
from jobs.webhooks import threshold

Period = Literal["day", "month"]

CAUSES: dict[Period, PauseCause] = {
    "day": PauseCause.DAILY_BUDGET,
    "month": PauseCause.MONTHLY_BUDGET,
}


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a cap is spent: the highest threshold, and what was told of it before."""

    period: Period
    began: date
    percent: int
    told_percent: int
    spent_nanos: int
    cap_nanos: int | None

    @property
    def is_news(self) -> bool:
        """Whether more is spent than was told."""
        return self.percent > self.told_percent

    def data(self) -> dict[str, Any]:
        """Return what a message says of it."""
        return {
            "period": self.period,
            "began": self.began.isoformat(),
            "percent": self.percent,
            "spent_usd": format_usd(self.spent_nanos),
            "cap_usd": format_usd(self.cap_nanos or 0),
        }


def changed(session: Session, projects: Iterable[int]) -> list[int]:
    """Return those projects of whose caps something else is true than was told."""
    capped = session.exec(
        select(ProjectBudget).where(col(ProjectBudget.project_id).in_(list(projects)))
    ).all()
    return [
        budget.project_id
        for budget in capped
        if any(share.percent != share.told_percent for share in _shares(session, budget))
    ]


def take(session: Session, project_id: int) -> list[Share]:
    """Return what is to be told of a project's caps, and note it as told.

    Locks the caps' row, as whoever settles money does last of all: lock no batch afterwards.
    """
    budget = session.exec(
        select(ProjectBudget)
        .where(ProjectBudget.project_id == project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).first()
    if budget is None:
        return []
    shares = _shares(session, budget)
    for share in shares:
        setattr(budget, f"told_{share.period}", share.began)
        setattr(budget, f"told_{share.period}_percent", share.percent)
    session.add(budget)
    return [share for share in shares if share.is_news]


def _shares(session: Session, budget: ProjectBudget) -> list[Share]:
    stands = standing(session, budget.project_id)
    full = set(
        session.exec(
            select(Batch.pause_cause)
            .where(
                Batch.project_id == budget.project_id,
                Batch.state == BatchState.PAUSED,
                col(Batch.pause_cause).in_(CAUSES.values()),
            )
            .distinct()
        )
    )
    day = (stands.today, stands.day, budget.daily_nanos)
    month = (month_start(stands.today), stands.month, budget.monthly_nanos)
    told: dict[Period, tuple[date | None, int]] = {
        "day": (budget.told_day, budget.told_day_percent),
        "month": (budget.told_month, budget.told_month_percent),
    }
    shares = []
    periods: tuple[Period, ...] = ("day", "month")
    for period, (began, spend, cap_nanos) in zip(periods, (day, month), strict=True):
        told_of, told_percent = told[period]
        # What a batch waits for may be yesterday's cap, until it is looked at anew.
        is_used_up = CAUSES[period] in full and spend.spent_nanos + spend.reserved_nanos > 0
        percent = threshold(spend.spent_nanos, cap_nanos, is_used_up=is_used_up)
        known = told_percent if told_of == began else 0
        shares.append(Share(period, began, percent, known, spend.spent_nanos, cap_nanos))
    return shares
