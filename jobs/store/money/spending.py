"""What capped projects spend, by UTC day: asked and added to in the transactions that move the money.

Account is kept of projects that have a row in `project_budget`, and of no others. That row is the
lock on the project's days. The order of locks is batches by id, then slices, then `project_budget`
by project, then the ledger; nobody waits against it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from jobs.budget import Cap, month_start, next_day, next_month
from jobs.states import PauseCause
from jobs.store.attempts.attempt_keys import KEY, AttemptKey, by_key
from jobs.tables import Attempt, ProjectBudget, SpendDay

# Built once: putting them together costs more than running them.
_LOCK_BUDGETS = (
    select(
        col(ProjectBudget.project_id),
        col(ProjectBudget.daily_nanos),
        col(ProjectBudget.monthly_nanos),
    )
    .where(col(ProjectBudget.project_id).in_(bindparam("ids", expanding=True)))
    .order_by(col(ProjectBudget.project_id))
    .with_for_update()
)
_DAYS = select(
    col(SpendDay.project_id),
    col(SpendDay.day),
    col(SpendDay.spent_nanos),
    col(SpendDay.reserved_nanos),
).where(
    col(SpendDay.project_id).in_(bindparam("ids", expanding=True)),
    or_(col(SpendDay.day) >= bindparam("since"), col(SpendDay.reserved_nanos) > 0),
)


@dataclass(slots=True)
class DaySpend:
    """What the calls of one day have cost, and may cost still."""

    spent_nanos: int = 0
    reserved_nanos: int = 0


class Account:
    """One capped project's days in one transaction, which holds the lock on them.

    A reservation belongs to the day on which it was made, and so does what it became.
    """

    def __init__(self, session: Session, project_id: int, today: date) -> None:
        self.project_id = project_id
        self.today = today
        self.daily_nanos: int | None = None
        self.monthly_nanos: int | None = None
        self.days: dict[date, DaySpend] = {}
        self.changed: set[date] = set()
        self._session = session

    def caps(self) -> list[Cap]:
        """Return the project's caps as they stand, the month's first."""
        caps: list[Cap] = []
        if self.monthly_nanos is not None:
            used, resets_at = self.used_this_month(), next_month(self.today)
            caps.append(Cap(PauseCause.MONTHLY_BUDGET, self.monthly_nanos, used, resets_at))
        if self.daily_nanos is not None:
            used, resets_at = _used(self._day(self.today)), next_day(self.today)
            caps.append(Cap(PauseCause.DAILY_BUDGET, self.daily_nanos, used, resets_at))
        return caps

    def used_this_month(self) -> int:
        """Return what is spent and reserved since the month began."""
        first = month_start(self.today)
        return sum(_used(spend) for day, spend in self.days.items() if day >= first)

    def open_days(self) -> list[date]:
        """Return the days that calls in flight belong to."""
        return [day for day, spend in self.days.items() if spend.reserved_nanos]

    def reserve(self, nanos: int) -> None:
        """Set a call's worst case aside, today."""
        self._change(self.today).reserved_nanos += nanos

    def settle(self, day: date, reserved_nanos: int, cost_nanos: int) -> None:
        """Book what a call of that day has cost in place of what was reserved for it."""
        spend = self._change(day)
        spend.reserved_nanos -= reserved_nanos
        spend.spent_nanos += cost_nanos

    def correct(self, day: date, booked_nanos: int, cost_nanos: int) -> None:
        """Replace what a call of that day was charged by what it has cost."""
        self._change(day).spent_nanos += cost_nanos - booked_nanos

    def _change(self, day: date) -> DaySpend:
        self.changed.add(day)
        return self._day(day)

    def _day(self, day: date) -> DaySpend:
        """Return a day's sums; one of long ago is read only if it is asked for."""
        if day not in self.days:
            row = self._session.get(SpendDay, (self.project_id, day))
            self.days[day] = DaySpend(row.spent_nanos, row.reserved_nanos) if row else DaySpend()
        return self.days[day]


def lock_accounts(
    session: Session, project_ids: Collection[int], moment: datetime
) -> dict[int, Account]:
    """Lock and return the accounts of those projects that have a cap.

    The caller holds the locks of the batches that it works on, so no project gets its first cap, or
    loses its last one, in the meantime (see `budgets.set_caps`).
    """
    connection = session.connection()
    today = moment.date()
    accounts: dict[int, Account] = {}
    budgets = connection.execute(_LOCK_BUDGETS, {"ids": list(project_ids)}).all()
    for project_id, daily_nanos, monthly_nanos in budgets:
        account = accounts[project_id] = Account(session, project_id, today)
        account.daily_nanos, account.monthly_nanos = daily_nanos, monthly_nanos
    if accounts:
        wanted = {"ids": list(accounts), "since": month_start(today)}
        for project_id, day, spent_nanos, reserved_nanos in connection.execute(_DAYS, wanted):
            accounts[project_id].days[day] = DaySpend(spent_nanos, reserved_nanos)
    return accounts


def write_accounts(session: Session, accounts: Collection[Account]) -> None:
    """Write the days that have changed."""
    rows = [
        {
            "project_id": account.project_id,
            "day": day,
            "spent_nanos": account.days[day].spent_nanos,
            "reserved_nanos": account.days[day].reserved_nanos,
        }
        for account in accounts
        for day in sorted(account.changed)
    ]
    if rows:
        connection = session.connection()
        connection.execute(_upsert(connection.dialect.name), rows)


def days_sent(session: Session, keys: Sequence[AttemptKey]) -> dict[AttemptKey, date]:
    """Return the days on which attempts were journaled."""
    found: dict[AttemptKey, date] = {}
    for are_those in by_key(keys):
        rows = session.connection().execute(select(*KEY, col(Attempt.sent_at)).where(are_those))
        found.update({(batch_id, seq, n): sent_at.date() for batch_id, seq, n, sent_at in rows})
    return found


def _used(spend: DaySpend) -> int:
    return spend.spent_nanos + spend.reserved_nanos


def _upsert(dialect_name: str) -> Any:
    """Return the statement that sets a day's sums. Not by adding: the lock makes that needless."""
    table = SQLModel.metadata.tables["spend_day"]
    dialect = sqlite if dialect_name == "sqlite" else postgresql
    insert = dialect.insert(table)
    sums = ("spent_nanos", "reserved_nanos")
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: insert.excluded[name] for name in sums},
    )
