"""Answers that later batches may take, and batches that retry an earlier one."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TOTALS = ("reused_jobs", "offered_results")
NEW: dict[str, dict[str, sa.types.TypeEngine[Any]]] = {
    "batch": {"retry_of": sa.Text(), "retry_codes": sa.Text()},
    "result": {"origin_batch_id": BIG_INT, "origin_seq": sa.Integer()},
}


def upgrade() -> None:
    """Add the table and the columns; what was answered before is offered to nobody."""
    op.create_table(
        "answer",
        sa.Column("project_id", BIG_INT, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", BIG_INT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "fingerprint", "batch_id", "seq", name="pk_answer"),
        sqlite_with_rowid=False,
    )
    for table, columns in NEW.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind, nullable=True))
    for name in TOTALS:
        # The default stays: a process of the version before makes batches without these.
        op.add_column("batch", sa.Column(name, BIG_INT, nullable=False, server_default="0"))
    # Their fingerprints were made in another way, so nobody would find them.
    op.execute("UPDATE batch SET offered_results = succeeded + failed + cancelled + expired")


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("answer")
    for table, columns in NEW.items():
        for name in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
    for name in TOTALS:
        op.execute(f"ALTER TABLE batch DROP COLUMN {name}")
