"""Tenants, their keys, and the browsers in which somebody has shown one."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    LargeBinary,
    Text,
)
from sqlmodel import Field, SQLModel

from jobs.tables.columns import BigInt, UtcDateTime


class Project(SQLModel, table=True):
    """A tenant: everything below belongs to one."""

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ApiKey(SQLModel, table=True):
    """A key of a project. Only its hash is stored; `prefix` lets a person recognise it."""

    __tablename__: ClassVar[str] = "api_key"

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    prefix: str = Field(sa_type=Text)
    key_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    name: str | None = Field(default=None, sa_type=Text)
    """Whose it is or what for, in the words of who made it."""
    scopes: str = Field(sa_type=Text)
    """What it may do, as `jobs.scopes` writes it."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """From then on it is worth nothing; null for never."""
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Login(SQLModel, table=True):
    """A browser in which somebody has shown a key: it holds a token instead, of which this is the hash."""

    token_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    api_key_id: int = Field(sa_type=BigInt, foreign_key="api_key.id")
    """The key that was shown: its project and scopes hold, and its end is the login's."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    """When it was used last, give or take some minutes."""
