"""Jobs of several parts, what bad answers cost, and jobs that ask for the same."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TOTALS = ("bad_answers", "bad_nanos", "collapsed_jobs", "saved_nanos")


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
    op.add_column("job", sa.Column("first_seq", sa.Integer(), nullable=True))
    for name in TOTALS:
        # The default stays: a process of the version before makes batches without these.
        op.add_column("batch", sa.Column(name, BIG_INT, nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("part")
    op.execute("ALTER TABLE result DROP COLUMN mended")
    op.execute("ALTER TABLE job DROP COLUMN first_seq")
    for name in TOTALS:
        op.execute(f"ALTER TABLE batch DROP COLUMN {name}")
