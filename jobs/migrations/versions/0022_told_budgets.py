"""Which shares of a project's caps its webhooks were told of, in which day and month."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nothing was told yet."""
    for period in ("day", "month"):
        op.add_column("project_budget", sa.Column(f"told_{period}", sa.Date(), nullable=True))
        # The default stays: a process of the version before writes budgets without it.
        op.add_column(
            "project_budget",
            sa.Column(f"told_{period}_percent", sa.Integer(), nullable=False, server_default="0"),
        )


def downgrade() -> None:
    """Drop them."""
    for period in ("day", "month"):
        op.execute(f"ALTER TABLE project_budget DROP COLUMN told_{period}")
        op.execute(f"ALTER TABLE project_budget DROP COLUMN told_{period}_percent")
