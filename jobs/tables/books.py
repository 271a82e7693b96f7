"""Sums and caps of money and tokens."""

from datetime import date
from typing import ClassVar

from sqlalchemy import (
    CheckConstraint,
    Date,
    Integer,
    Text,
)
from sqlmodel import Field, SQLModel

from jobs.tables.columns import BigInt


class LedgerDay(SQLModel, table=True):
    """Sums of settled attempts by day (UTC), project, pool, model and outcome.

    The day is that of the settlement; of an attempt of unknown use, that of its sending.
    """

    __tablename__: ClassVar[str] = "ledger_day"

    day: date = Field(sa_type=Date, primary_key=True)
    project_id: int = Field(sa_type=BigInt, primary_key=True)
    provider: str = Field(sa_type=Text, primary_key=True)
    pool: str = Field(sa_type=Text, primary_key=True)
    model: str = Field(sa_type=Text, primary_key=True)
    outcome: str = Field(sa_type=Text, primary_key=True)
    attempts: int = Field(sa_type=BigInt)
    unpriced_attempts: int = Field(sa_type=BigInt)
    input_tokens: int = Field(sa_type=BigInt)
    cached_input_tokens: int = Field(sa_type=BigInt)
    cache_write_tokens: int = Field(sa_type=BigInt)
    output_tokens: int = Field(sa_type=BigInt)
    reasoning_tokens: int = Field(sa_type=BigInt)
    cost_nanos: int = Field(sa_type=BigInt)
    cache_saved_nanos: int = Field(default=0, sa_type=BigInt)
    """What prompt caches saved, of batches that have that figure; a part of no cost."""


class ProjectBudget(SQLModel, table=True):
    """The caps of a project that has any; its row is the lock on the project's `spend_day`."""

    __tablename__: ClassVar[str] = "project_budget"

    project_id: int = Field(sa_type=BigInt, primary_key=True, foreign_key="project.id")
    daily_nanos: int | None = Field(default=None, sa_type=BigInt)
    monthly_nanos: int | None = Field(default=None, sa_type=BigInt)
    told_day: date | None = Field(default=None, sa_type=Date)
    """The day of which webhooks were told that so much of its cap is spent: the next field, in percent."""
    told_day_percent: int = Field(
        default=0, sa_type=Integer, sa_column_kwargs={"server_default": "0"}
    )
    told_month: date | None = Field(default=None, sa_type=Date)
    """The same of a month, by its first day."""
    told_month_percent: int = Field(
        default=0, sa_type=Integer, sa_column_kwargs={"server_default": "0"}
    )


class SpendDay(SQLModel, table=True):
    """What the calls that a capped project sent on a UTC day have cost, and may cost still.

    Unlike `ledger_day`, which goes by the day of the settlement. A month is the sum of its days.
    No foreign key: checking it would lock the project's row behind its batches, which nobody may.
    """

    __tablename__: ClassVar[str] = "spend_day"
    __table_args__ = (CheckConstraint("reserved_nanos >= 0", name="reserved_not_negative"),)

    project_id: int = Field(sa_type=BigInt, primary_key=True)
    day: date = Field(sa_type=Date, primary_key=True)
    spent_nanos: int = Field(sa_type=BigInt)
    reserved_nanos: int = Field(sa_type=BigInt)
