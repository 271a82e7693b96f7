"""PostgreSQL's planner takes every batch for one of some size, also those that it has not counted yet.

By its statistics a batch that came after the last ANALYZE has no rows. Then every index that begins with
`batch_id` seems as good as any, and a slice of a hundred jobs is read by going through the whole batch, for
each of its jobs: 30 jobs a second at 150,000. Without statistics of the column it expects a two-hundredth of
the table, whatever the batch, and takes the index that bounds the rows by their number as well.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = ("job", "slice", "attempt", "result", "part")


def upgrade() -> None:
    """Forget the statistics, and let nobody gather them again."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        # The same type again: nothing is rewritten, and what was gathered is dropped.
        op.execute(f"ALTER TABLE {table} ALTER COLUMN batch_id TYPE bigint")
        op.execute(f"ALTER TABLE {table} ALTER COLUMN batch_id SET STATISTICS 0")


def downgrade() -> None:
    """Let ANALYZE gather them again."""
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN batch_id SET STATISTICS -1")
