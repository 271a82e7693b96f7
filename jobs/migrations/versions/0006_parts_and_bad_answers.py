"""Jobs of several parts, and what bad answers cost."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table and the columns; bad answers of batches that exist are not counted any more."""
    op.create_table(
        "part",
        sa.Column("batch_id", BIG_INT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "seq", "no", name="pk_part"),
    )
    op.add_column("result", sa.Column("mended", sa.Text(), nullable=True))
    for name in ("bad_answers", "bad_nanos"):
        # The default stays: a process of the version before makes batches without these.
        op.add_column("batch", sa.Column(name, BIG_INT, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("part")
    op.execute("ALTER TABLE result DROP COLUMN mended")
    for name in ("bad_answers", "bad_nanos"):
        op.execute(f"ALTER TABLE batch DROP COLUMN {name}")
