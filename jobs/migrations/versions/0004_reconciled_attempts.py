"""When an attempt of unknown use was reconciled with the provider's own account."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing was reconciled before."""
    op.add_column("attempt", sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Drop it: what was reconciled stays so, and can't be told from what was answered."""
    op.drop_column("attempt", "reconciled_at")
