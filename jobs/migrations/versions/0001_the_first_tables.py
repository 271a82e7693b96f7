"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "attempt",
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=True),
        sa.Column("reserved_nanos", BigInt, nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("input_tokens", BigInt, nullable=True),
        sa.Column("cached_input_tokens", BigInt, nullable=True),
        sa.Column("cache_write_tokens", BigInt, nullable=True),
        sa.Column("output_tokens", BigInt, nullable=True),
        sa.Column("reasoning_tokens", BigInt, nullable=True),
        sa.Column("cost_nanos", BigInt, nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IS NULL OR outcome IN "
            "('succeeded', 'rejected', 'failed', 'limited', 'unsent', 'unknown')",
            name="ck_attempt_outcome_is_known",
        ),
        sa.PrimaryKeyConstraint("batch_id", "seq", "n", name="pk_attempt"),
    )
    op.create_table(
        "job",
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("custom_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("estimated_tokens", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "seq", name="pk_job"),
        sa.UniqueConstraint("batch_id", "custom_id", name="uq_job_custom_id"),
    )
    op.create_table(
        "ledger_day",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("attempts", BigInt, nullable=False),
        sa.Column("unpriced_attempts", BigInt, nullable=False),
        sa.Column("input_tokens", BigInt, nullable=False),
        sa.Column("cached_input_tokens", BigInt, nullable=False),
        sa.Column("cache_write_tokens", BigInt, nullable=False),
        sa.Column("output_tokens", BigInt, nullable=False),
        sa.Column("reasoning_tokens", BigInt, nullable=False),
        sa.Column("cost_nanos", BigInt, nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "project_id", "provider", "pool", "model", "outcome", name="pk_ledger_day"
        ),
    )
    op.create_table(
        "project",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project"),
        sa.UniqueConstraint("name", name="uq_project_name"),
    )
    op.create_table(
        "result",
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('succeeded', 'failed', 'cancelled', 'expired')",
            name="ck_result_status_is_known",
        ),
        sa.PrimaryKeyConstraint("batch_id", "seq", name="pk_result"),
        sa.UniqueConstraint("batch_id", "position", name="uq_result_position"),
    )
    op.create_table(
        "slice",
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("jobs", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state IN ('leased', 'draining')) = (owner IS NOT NULL)",
            name="ck_slice_owned_when_leased",
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'fed', 'leased', 'draining', 'done')",
            name="ck_slice_state_is_known",
        ),
        sa.PrimaryKeyConstraint("batch_id", "no", name="pk_slice"),
    )
    with op.batch_alter_table("slice", schema=None) as batch_op:
        batch_op.create_index(
            "ix_slice_open",
            ["queue", "state", "batch_id", "no"],
            unique=False,
            sqlite_where=sa.text("state <> 'done'"),
            postgresql_where=sa.text("state <> 'done'"),
        )
        batch_op.create_index(
            "ix_slice_owner",
            ["owner"],
            unique=False,
            sqlite_where=sa.text("owner IS NOT NULL"),
            postgresql_where=sa.text("owner IS NOT NULL"),
        )

    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_api_key_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("key_hash", name="uq_api_key_key_hash"),
    )
    op.create_table(
        "batch",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("defaults", sa.Text(), nullable=False),
        sa.Column("max_cost_nanos", BigInt, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.Column("served", BigInt, nullable=False),
        sa.Column("total_jobs", BigInt, nullable=False),
        sa.Column("total_slices", BigInt, nullable=False),
        sa.Column("done_slices", BigInt, nullable=False),
        sa.Column("succeeded", BigInt, nullable=False),
        sa.Column("failed", BigInt, nullable=False),
        sa.Column("cancelled", BigInt, nullable=False),
        sa.Column("expired", BigInt, nullable=False),
        sa.Column("in_flight", BigInt, nullable=False),
        sa.Column("unpriced_jobs", BigInt, nullable=False),
        sa.Column("unknown_attempts", BigInt, nullable=False),
        sa.Column("input_tokens", BigInt, nullable=False),
        sa.Column("cached_input_tokens", BigInt, nullable=False),
        sa.Column("cache_write_tokens", BigInt, nullable=False),
        sa.Column("output_tokens", BigInt, nullable=False),
        sa.Column("reasoning_tokens", BigInt, nullable=False),
        sa.Column("spent_nanos", BigInt, nullable=False),
        sa.Column("reserved_nanos", BigInt, nullable=False),
        sa.CheckConstraint(
            "(state IN ('completed', 'failed', 'cancelled', 'expired')) = (finished_at IS NOT NULL)",
            name="ck_batch_finished_when_final",
        ),
        sa.CheckConstraint(
            "priority IN ('bulk', 'normal', 'high', 'interactive')",
            name="ck_batch_priority_is_known",
        ),
        sa.CheckConstraint(
            "state IN ('receiving', 'queued', 'running', 'paused', 'cancelling', 'finalizing', "
            "'completed', 'failed', 'cancelled', 'expired')",
            name="ck_batch_state_is_known",
        ),
        sa.CheckConstraint("in_flight >= 0", name="ck_batch_in_flight_not_negative"),
        sa.CheckConstraint("reserved_nanos >= 0", name="ck_batch_reserved_not_negative"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_batch_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
        sa.UniqueConstraint("ref", name="uq_batch_ref"),
    )
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.create_index("ix_batch_project", ["project_id", "id"], unique=False)
        batch_op.create_index(
            "ix_batch_unfinished",
            ["state"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )


def downgrade() -> None:
    """Drop everything, rows included."""
    with op.batch_alter_table("batch", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_batch_unfinished",
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )
        batch_op.drop_index("ix_batch_project")

    op.drop_table("batch")
    op.drop_table("api_key")
    op.drop_table("worker")
    with op.batch_alter_table("slice", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_slice_owner",
            sqlite_where=sa.text("owner IS NOT NULL"),
            postgresql_where=sa.text("owner IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_slice_open",
            sqlite_where=sa.text("state <> 'done'"),
            postgresql_where=sa.text("state <> 'done'"),
        )

    op.drop_table("slice")
    op.drop_table("result")
    op.drop_table("project")
    op.drop_table("ledger_day")
    op.drop_table("job")
    op.drop_table("attempt")
