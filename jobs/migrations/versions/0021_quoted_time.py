"""How long a batch with a deadline was said to take."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("batch", sa.Column("quoted_s", sa.Double(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE batch DROP COLUMN quoted_s")
