"""How connections to PostgreSQL are made: what the server is told, and how long it is waited for."""

import math
from typing import Any

from sqlalchemy import Dialect, Engine, event, text
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

SERVER_SHARE = 0.75
"""Of the patience that the server has for a statement: where it is alive it says no itself, and the
connection lives on."""

LOCK_TIMEOUT_MS = 10_000
"""Nobody's forgotten lock may stop the fleet; the caller tries again."""

CONNECT_TIMEOUT_S = 5
"""How long a new connection may take to be made, at most; libpq knows no less than 2."""

GUARDS = (
    "-c idle_in_transaction_session_timeout=8s -c synchronous_commit=on"
    " -c plan_cache_mode=force_custom_plan"
)
"""A transaction of ours is idle for milliseconds: one that isn't belongs to a process that is frozen
or cut off, and its locks are free before its leases run out. And what was committed is on the disk,
whatever the server, the database or the role is set to. A plan is made for each statement anew, which
costs less than can be measured: one that was kept from when a table was empty reads all of a batch for
each slice, until somebody analyses the table."""

NETWORK = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms
}
"""A server whose machine is gone, or behind a cut, is noticed after half a minute at most."""

_ALLOW = text("SELECT set_config('statement_timeout', :statement_ms, true)")
"""Longer statements in this transaction. Locks are waited for no longer than in others."""


def connect_arguments(patience_s: float) -> dict[str, Any]:
    """Return what every connection is made with, for transactions that usually take so long at most."""
    statement_ms = _statement_ms(patience_s)
    lock_ms = min(LOCK_TIMEOUT_MS, statement_ms)
    limits = f"-c statement_timeout={statement_ms} -c lock_timeout={lock_ms}"
    return {
        "options": f"{GUARDS} {limits}",
        "client_encoding": "UTF8",  # an ASCII database would have psycopg answer in bytes
        "connect_timeout": min(CONNECT_TIMEOUT_S, math.ceil(patience_s)),
        **NETWORK,
    }


def prepare(engine: Engine) -> None:
    """Let every connection of an engine be one that is given up when the server is silent."""
    event.listen(engine, "do_connect", _connect)


def allow_longer(session: Session, patience_s: float) -> None:
    """Let statements of this transaction take so long. Locks are waited for no longer than usual."""
    session.connection().execute(_ALLOW, {"statement_ms": str(_statement_ms(patience_s))})


def _statement_ms(patience_s: float) -> int:
    return round(SERVER_SHARE * patience_s * 1000)


def _connect(
    _dialect: Dialect, _entry: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> Any:
    from jobs.store.engine.patient_connection import PatientConnection  # noqa: PLC0415  (an extra)

    return PatientConnection.connect(*arguments, **options)
