"""Budgets of projects, and why a batch is paused."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables and columns; paused batches get the cause that their sentence tells."""
    op.create_table(
        "project_budget",
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("daily_nanos", BigInt, nullable=True),
        sa.Column("monthly_nanos", BigInt, nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name="fk_project_budget_project_id"
        ),
        sa.PrimaryKeyConstraint("project_id", name="pk_project_budget"),
    )
    op.create_table(
        "spend_day",
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("spent_nanos", BigInt, nullable=False),
        sa.Column("reserved_nanos", BigInt, nullable=False),
        sa.CheckConstraint("reserved_nanos >= 0", name="ck_spend_day_reserved_not_negative"),
        sa.PrimaryKeyConstraint("project_id", "day", name="pk_spend_day"),
    )
    # In SQL that both databases know: SQLite adds a constraint only together with its column.
    op.execute(
        "ALTER TABLE batch ADD COLUMN pause_cause TEXT "
        "CONSTRAINT ck_batch_pause_cause_is_known CHECK (pause_cause IS NULL OR pause_cause IN "
        "('owner', 'batch_budget', 'monthly_budget', 'daily_budget'))"
    )
    op.add_column("batch", sa.Column("needed_nanos", BigInt, nullable=True))
    op.add_column("batch", sa.Column("no_room_since", sa.DateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE batch SET pause_cause = CASE WHEN waiting_for LIKE 'its budget of %' "
        "THEN 'batch_budget' ELSE 'owner' END WHERE state = 'paused'"
    )


def downgrade() -> None:
    """Drop what was added; caps and the causes of pauses are lost."""
    op.drop_table("spend_day")
    op.drop_table("project_budget")
    for column in ("no_room_since", "needed_nanos", "pause_cause"):
        op.execute(f"ALTER TABLE batch DROP COLUMN {column}")
