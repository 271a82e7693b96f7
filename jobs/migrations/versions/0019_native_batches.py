"""Native batches, and the lane of each batch."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Time = sa.DateTime(timezone=True)

STATES = "'packing', 'sending', 'running', 'cancelling', 'ingesting', 'lost', 'ended'"
IS_OPEN = "state <> 'ended'"
OF_BATCH = ("lane", "lane_due_at", "lane_saved_nanos")
OF_ATTEMPT = ("native_id", "live_price")


def upgrade() -> None:
    """Add them; batches that exist run live."""
    # The constraint goes with the column: SQLite can't add it to a table that is there.
    op.execute(
        "ALTER TABLE batch ADD COLUMN lane TEXT NOT NULL DEFAULT 'live' "
        "CONSTRAINT ck_batch_lane_is_known CHECK (lane IN ('live', 'auto', 'batch'))"
    )
    op.add_column("batch", sa.Column("lane_due_at", Time, nullable=True))
    op.add_column(
        "batch", sa.Column("lane_saved_nanos", BigInt, nullable=False, server_default="0")
    )
    op.add_column("attempt", sa.Column("native_id", BigInt, nullable=True))
    op.add_column("attempt", sa.Column("live_price", sa.Text(), nullable=True))
    op.create_table(
        "native_batch",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claim", sa.Integer(), nullable=False),
        sa.Column("claimed_until", Time, nullable=True),
        sa.Column("remote_id", sa.Text(), nullable=True),
        sa.Column("file_id", sa.Text(), nullable=True),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("estimated_tokens", BigInt, nullable=False),
        sa.Column("enqueued_at", Time, nullable=True),
        sa.Column("size_bytes", BigInt, nullable=False),
        sa.Column("done", sa.Integer(), nullable=True),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("unexpected", sa.Integer(), nullable=False),
        sa.Column("created_at", Time, nullable=False),
        sa.Column("sent_at", Time, nullable=True),
        sa.Column("submitted_at", Time, nullable=True),
        sa.Column("cancelled_at", Time, nullable=True),
        sa.Column("next_look_at", Time, nullable=True),
        sa.Column("expires_at", Time, nullable=True),
        sa.Column("rescue_at", Time, nullable=True),
        sa.Column("ended_at", Time, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.CheckConstraint(f"state IN ({STATES})", name="ck_native_batch_state_is_known"),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_native_batch_batch_id"),
        sa.PrimaryKeyConstraint("id", name="pk_native_batch"),
        sa.UniqueConstraint("ref", name="uq_native_batch_ref"),
    )
    op.create_index("ix_native_batch_batch", "native_batch", ["batch_id"])
    op.create_index(
        "ix_native_batch_due",
        "native_batch",
        ["next_look_at"],
        sqlite_where=sa.text(IS_OPEN),
        postgresql_where=sa.text(IS_OPEN),
    )
    op.create_table(
        "native_slice",
        sa.Column("native_id", BigInt, nullable=False),
        sa.Column("slice_no", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("native_id", "slice_no", name="pk_native_slice"),
    )


def downgrade() -> None:
    """Drop them, with what is still at the providers."""
    op.drop_table("native_slice")
    op.drop_table("native_batch")
    for table, columns in (("attempt", OF_ATTEMPT), ("batch", OF_BATCH[1:])):
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    op.execute("ALTER TABLE batch DROP COLUMN lane")
