"""Since when schedules of pipelines are known."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "run_schedule",
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "pipeline", name="pk_run_schedule"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("run_schedule")
