"""The one place that asks this machine for the time. Leases go by the database's clock instead."""

from datetime import UTC, datetime

__all__ = ["UTC", "utcnow"]


def utcnow() -> datetime:
    """Return the present as an aware UTC time."""
    return datetime.now(UTC)
