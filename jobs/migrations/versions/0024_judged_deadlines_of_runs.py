"""Whether the deadline of a run can be met, as it was reckoned when its source was read."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns; runs that go on are judged at the next look."""
    op.add_column("run", sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("run", sa.Column("unreachable", sa.Text(), nullable=True))
    op.add_column("run", sa.Column("quoted_jobs", BigInt, nullable=False, server_default="0"))
    op.add_column("run", sa.Column("quoted_s", sa.Double(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    for name in ("quoted_s", "quoted_jobs", "unreachable", "judged_at"):
        op.execute(f"ALTER TABLE run DROP COLUMN {name}")
