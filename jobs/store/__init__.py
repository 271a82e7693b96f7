"""All SQL of the project: one module per kind of row or per transaction that must be one.

Functions take a session (see `database.Database`) and return values; transactions begin and end
with the caller, and no network call happens inside one.
"""

from sqlmodel import Session

from jobs.store.engine.database import Database, now, open_database
from jobs.store.engine.schema import check_schema, is_empty, migrate, once_reachable
from jobs.store.projects import ensure_first_key

__all__ = [
    "Database",
    "Session",
    "check_schema",
    "ensure_first_key",
    "is_empty",
    "migrate",
    "now",
    "once_reachable",
    "open_database",
]
