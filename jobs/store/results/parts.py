"""Outputs of the parts of jobs that take several calls: kept as they come, for a later lease to go on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from jobs.store.engine.bulk import insert_rows
from jobs.tables import Part

PartRow = tuple[int, int, int, int, str]
"""batch_id, seq, no, attempt, output"""

PART_COLUMNS = ("batch_id", "seq", "no", "attempt", "output")

# Built once: putting a statement together costs more than running it.
_PARTS = (
    select(col(Part.seq), col(Part.output))
    .where(
        col(Part.batch_id) == bindparam("batch_id"),
        col(Part.seq).between(bindparam("first_seq"), bindparam("last_seq")),
    )
    .order_by(col(Part.seq), col(Part.no))
)


def insert_parts(session: Session, rows: Iterable[PartRow]) -> None:
    """Insert outputs of parts."""
    insert_rows(session, Part, PART_COLUMNS, rows)


def parts_between(
    session: Session, batch_id: int, first_seq: int, last_seq: int
) -> Mapping[int, tuple[str, ...]]:
    """Return the outputs, as JSON texts in their order, of each job of a range that has any."""
    values = {"batch_id": batch_id, "first_seq": first_seq, "last_seq": last_seq}
    found: dict[int, list[str]] = defaultdict(list)
    for seq, output in session.connection().execute(_PARTS, values):
        found[seq].append(output)
    return {seq: tuple(outputs) for seq, outputs in found.items()}
