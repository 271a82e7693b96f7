"""The budget of the caller's project: its daily and monthly cap, and what is used of them."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.access.audit import note
from api.access.auth import AdminProject, ReaderProject
from api.amounts import UsdOrNone, nanos_of
from api.intake.bodies import StrictRoute
from api.services import COUNTING_S, ServicesDep
from jobs.budget import next_day, next_month
from jobs.errors import InvalidParameter
from jobs.money import format_usd
from jobs.store import Session
from jobs.store.batches import batches
from jobs.store.money import budgets
from jobs.store.money.budgets import CapName
from jobs.store.money.spending import DaySpend

router = APIRouter(tags=["budget"], route_class=StrictRoute)


class PeriodShape(BaseModel):
    """What the calls sent in the present day or month cost; `resets_at` is when it ends."""

    spent_usd: str
    reserved_usd: str
    resets_at: str


class BudgetShape(BaseModel):
    """A project's caps, null where it has none, and the present day and month (UTC)."""

    project: str
    daily_usd: str | None
    monthly_usd: str | None
    day: PeriodShape
    month: PeriodShape


class BudgetChange(BaseModel):
    """What may be changed: a cap that is left out stays, null lifts it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    daily_usd: UsdOrNone = None
    monthly_usd: UsdOrNone = None

    def changes(self) -> dict[CapName, int | None]:
        """Return the caps that the body names.

        Raises:
            InvalidParameter: it names none.
        """
        changes: dict[CapName, int | None] = {}
        if "daily_usd" in self.model_fields_set:
            changes["daily_nanos"] = nanos_of(self.daily_usd)
        if "monthly_usd" in self.model_fields_set:
            changes["monthly_nanos"] = nanos_of(self.monthly_usd)
        if not changes:
            raise InvalidParameter("expected `daily_usd`, `monthly_usd` or both")
        return changes


@router.get("/budget")
def get_budget(services: ServicesDep, project_id: ReaderProject) -> BudgetShape:
    """Return the project's caps, and what is spent and reserved in the present day and month."""
    with services.database.read() as session:
        return _shape(session, project_id)


@router.patch("/budget")
def change_budget(
    services: ServicesDep, project_id: AdminProject, wanted: BudgetChange
) -> BudgetShape:
    """Change the project's caps; batches that only they kept go on at once.

    What was spent before in the present day and month counts. A cap below what is spent is taken:
    nothing more is sent then.
    """
    changes = wanted.changes()
    with services.database.with_patience(COUNTING_S).write() as session:
        budgets.set_caps(session, project_id, changes)
        shape = _shape(session, project_id)
    note("budget_changed", project_id, **changes)
    services.feed_all()
    return shape


def _shape(session: Session, project_id: int) -> BudgetShape:
    stands = budgets.standing(session, project_id)
    return BudgetShape(
        project=batches.project_name(session, project_id),
        daily_usd=_usd(stands.daily_nanos),
        monthly_usd=_usd(stands.monthly_nanos),
        day=_period(stands.day, next_day(stands.today).isoformat()),
        month=_period(stands.month, next_month(stands.today).isoformat()),
    )


def _period(spend: DaySpend, resets_at: str) -> PeriodShape:
    return PeriodShape(
        spent_usd=format_usd(spend.spent_nanos),
        reserved_usd=format_usd(spend.reserved_nanos),
        resets_at=resets_at,
    )


def _usd(nanos: int | None) -> str | None:
    return None if nanos is None else format_usd(nanos)
