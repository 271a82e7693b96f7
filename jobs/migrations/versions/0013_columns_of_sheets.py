"""The columns of the sheet that a batch was submitted as."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; batches that exist were submitted as lines."""
    op.add_column("batch", sa.Column("columns", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE batch DROP COLUMN columns")
