"""Runs of pipelines, and batches to which jobs are added while they run."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

HAS_KEY = "key IS NOT NULL"


def upgrade() -> None:
    """Add the tables; batches that exist have all their jobs."""
    # The default stays: a process of the version before writes batches without it.
    op.add_column(
        "batch", sa.Column("is_open", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "run_batch",
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("stage_no", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("handed_over", BigInt, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "batch_id", name="pk_run_batch"),
    )
    op.create_table(
        "run_claim",
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("duty", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "duty", name="pk_run_claim"),
    )
    op.create_table(
        "run_item",
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage_no", sa.Integer(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_id", BigInt, nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=True),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('sent', 'again', 'done', 'failed', 'left_out')",
            name="ck_run_item_state_is_known",
        ),
        sa.PrimaryKeyConstraint("run_id", "number", "stage_no", "branch", name="pk_run_item"),
    )
    op.create_index("ix_run_item_job", "run_item", ["batch_id", "seq"], unique=False)
    op.create_index(
        "ix_run_item_key",
        "run_item",
        ["run_id", "key"],
        unique=True,
        sqlite_where=sa.text(HAS_KEY),
        postgresql_where=sa.text(HAS_KEY),
    )
    op.create_index(
        "ix_run_item_stage", "run_item", ["run_id", "stage_no", "state", "number"], unique=False
    )
    op.create_table(
        "run_sink",
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("sink_no", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows", BigInt, nullable=True),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'written', 'failed')", name="ck_run_sink_state_is_known"
        ),
        sa.PrimaryKeyConstraint("run_id", "sink_no", name="pk_run_sink"),
    )
    op.create_table(
        "run_stage",
        sa.Column("run_id", BigInt, nullable=False),
        sa.Column("stage_no", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sent", BigInt, nullable=False),
        sa.Column("again", BigInt, nullable=False),
        sa.Column("done", BigInt, nullable=False),
        sa.Column("failed", BigInt, nullable=False),
        sa.Column("left_out", BigInt, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stage_no", name="pk_run_stage"),
    )
    op.create_table(
        "run",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("budget_nanos", BigInt, nullable=True),
        sa.Column("group_ref", sa.Text(), nullable=True),
        sa.Column("at_once", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rows", BigInt, nullable=False),
        sa.Column("old_rows", BigInt, nullable=False),
        sa.Column("double_rows", BigInt, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('scheduled', 'manual', 'backfill')", name="ck_run_kind_is_known"
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'running', 'delivering', 'completed', 'failed', 'cancelled', 'skipped')",
            name="ck_run_state_is_known",
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_run_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("project_id", "pipeline", "slot", name="uq_run_slot"),
        sa.UniqueConstraint("ref", name="uq_run_ref"),
    )
    op.create_index("ix_run_pipeline", "run", ["project_id", "pipeline", "id"], unique=False)
    op.create_index(
        "ix_run_unfinished",
        "run",
        ["state"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def downgrade() -> None:
    """Take them away, with what is known of runs; their batches stay."""
    op.execute("ALTER TABLE batch DROP COLUMN is_open")
    for table in ("run_sink", "run_item", "run_batch", "run_stage", "run_claim", "run"):
        op.drop_table(table)
