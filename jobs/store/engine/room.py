"""Whether there is room for more work, beside what the work that there is may need."""

import shutil
from pathlib import Path

from sqlmodel import Session

from jobs.errors import StorageFull

RESERVE_BYTES = 128 << 20
"""Of SQLite's disk, left to jobs that run; a quarter of a small disk. Its log takes 64 MB at times,
and as much again when it is folded in; what is deleted goes through the log as well."""


def require_room(session: Session) -> None:
    """Return if more work may be taken in. Of PostgreSQL, whose disk is its own, nothing is known.

    Raises:
        StorageFull: there is only the reserve left, with what the file itself has free.
    """
    file = session.get_bind().engine.url.database
    if session.get_bind().dialect.name != "sqlite" or not file:
        return
    disk = shutil.disk_usage(Path(file).parent)
    reserve_bytes = min(RESERVE_BYTES, disk.total // 4)
    if disk.free >= reserve_bytes:
        return
    connection = session.connection()
    unused, page_bytes = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("freelist_count", "page_size")
    )
    if disk.free + unused * page_bytes < reserve_bytes:
        raise StorageFull(
            f"{disk.free >> 20:,} MB are free on the database's disk ({file}), and jobs that run "
            "may need them"
        )
