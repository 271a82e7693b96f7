"""Who is told what becomes of batches, and what they are told."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    Index,
    Integer,
    Text,
    text,
)
from sqlmodel import Field, SQLModel

from jobs.tables.columns import BigInt, UtcDateTime


class Webhook(SQLModel, table=True):
    """Whom to tell what becomes of a project's batches."""

    __table_args__ = (Index("ix_webhook_project", "project_id"),)

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """`whk_` and more, as users see it."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    url: str = Field(sa_type=Text)
    secret: str = Field(sa_type=Text)
    """What its messages are signed with. Needed as it is, unlike a key's."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    gone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the receiver said 410: it is told nothing more."""
    trouble: str | None = Field(default=None, sa_type=Text)
    """What became of the last try, if it failed; null after one that succeeded."""


class WebhookMessage(SQLModel, table=True):
    """Something that a webhook is to be told; kept for a week after it was, or was given up."""

    __tablename__: ClassVar[str] = "webhook_message"
    __table_args__ = (
        Index(
            "ix_webhook_message_due",
            "due_at",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_webhook_message_ended", "ended_at"),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """`msg_` and more: the same with every try, so that a receiver knows what it has."""
    webhook_id: int = Field(sa_type=BigInt, foreign_key="webhook.id", ondelete="CASCADE")
    body: str = Field(sa_type=Text)
    tries: int = Field(default=0, sa_type=Integer)
    due_at: datetime = Field(sa_type=UtcDateTime)
    """When it is to be tried next. A try that has begun puts it off, so that two don't make the same."""
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it was delivered, or given up."""
