"""The lane and the deadline of batches whose lines are in an uploaded file, until these are read."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; batches that exist go live, and are wanted at no time."""
    # In one statement, as SQLite can't add a constraint alone.
    op.execute(
        "ALTER TABLE file_batch ADD COLUMN lane TEXT NOT NULL DEFAULT 'live' "
        "CONSTRAINT ck_file_batch_lane_is_known CHECK (lane IN ('live', 'auto', 'batch'))"
    )
    op.add_column("file_batch", sa.Column("deadline", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.execute("ALTER TABLE file_batch DROP COLUMN deadline")
    op.execute("ALTER TABLE file_batch DROP COLUMN lane")
