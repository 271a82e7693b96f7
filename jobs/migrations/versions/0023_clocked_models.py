"""The model whose price by the time of day a batch may wait for."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; batches that exist wait for no price."""
    op.add_column("batch", sa.Column("clocked_model", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE batch DROP COLUMN clocked_model")
