"""What the providers' prompt caches have saved, of batches and in the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TABLES = ("batch", "ledger_day")


def upgrade() -> None:
    """Add the columns. Batches that exist have no figure: some of their calls were not added up."""
    op.add_column("batch", sa.Column("cache_saved_nanos", BIG_INT, nullable=True))
    # The default stays: a process of the version before writes days without it.
    op.add_column(
        "ledger_day",
        sa.Column("cache_saved_nanos", BIG_INT, nullable=False, server_default="0"),
    )


def downgrade() -> None:
    """Drop them."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN cache_saved_nanos")
