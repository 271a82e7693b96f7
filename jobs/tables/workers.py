"""The processes that work."""

from datetime import datetime

from sqlalchemy import (
    Integer,
    Text,
)
from sqlmodel import Field, SQLModel

from jobs.tables.columns import UtcDateTime


class Worker(SQLModel, table=True):
    """A worker process and its last sign of life."""

    id: str = Field(sa_type=Text, primary_key=True)
    host: str = Field(sa_type=Text)
    pid: int = Field(sa_type=Integer)
    queues: str = Field(sa_type=Text)
    """Names of its queues, separated and surrounded by commas, so that one can be looked for."""
    slots: int = Field(sa_type=Integer)
    """Slices that it may hold open at once."""
    in_flight: int = Field(sa_type=Integer)
    started_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
