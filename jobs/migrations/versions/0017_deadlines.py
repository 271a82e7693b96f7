"""By when batches are wanted, in which hours they run, and how urgent that makes them."""

import sqlalchemy as sa
from alembic import op

from jobs.tables.columns import UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; batches that exist are wanted at no time."""
    op.add_column("batch", sa.Column("deadline", UtcDateTime, nullable=True))
    # The defaults stay: a process of the version before writes batches without these.
    op.add_column(
        "batch",
        sa.Column("after_deadline", sa.Text(), nullable=False, server_default="finish"),
    )
    op.add_column("batch", sa.Column("run_window", sa.Text(), nullable=True))
    op.add_column("batch", sa.Column("urgency", sa.Text(), nullable=True))
    op.add_column("batch", sa.Column("held_until", UtcDateTime, nullable=True))


def downgrade() -> None:
    """Drop them."""
    for name in ("deadline", "after_deadline", "run_window", "urgency", "held_until"):
        op.execute(f"ALTER TABLE batch DROP COLUMN {name}")
