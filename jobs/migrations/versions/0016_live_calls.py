"""Batches that hold live calls."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; batches that exist were submitted."""
    # The default stays: a process of the version before writes batches without it.
    op.add_column(
        "batch", sa.Column("is_live", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE batch DROP COLUMN is_live")
