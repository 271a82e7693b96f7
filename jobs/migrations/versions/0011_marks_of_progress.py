"""How batches went on, and what was told of their ends."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table. Batches that have ended have no marks."""
    op.create_table(
        "progress",
        sa.Column("batch_id", BIG_INT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("working_s", sa.Double(), nullable=False),
        sa.Column("done_jobs", BIG_INT, nullable=False),
        sa.Column("failed_jobs", BIG_INT, nullable=False),
        sa.Column("tokens", BIG_INT, nullable=False),
        sa.Column("spent_nanos", BIG_INT, nullable=False),
        sa.Column("low_s", sa.Double(), nullable=True),
        sa.Column("high_s", sa.Double(), nullable=True),
        sa.Column("low_nanos", BIG_INT, nullable=True),
        sa.Column("high_nanos", BIG_INT, nullable=True),
        sa.PrimaryKeyConstraint("batch_id", "number", name="pk_progress"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("progress")
