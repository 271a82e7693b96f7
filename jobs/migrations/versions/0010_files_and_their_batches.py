"""Files of the OpenAI surface, and the batches that are read from them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

IS_VALIDATING = "state = 'validating'"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "file",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("size_bytes", BigInt, nullable=True),
        sa.Column("batch_id", BigInt, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "content IN ('upload', 'answers', 'errors')", name="ck_file_content_is_known"
        ),
        sa.CheckConstraint(
            "(content = 'upload') = (size_bytes IS NOT NULL)",
            name="ck_file_size_of_upload_is_known",
        ),
        sa.CheckConstraint(
            "(content = 'upload') = (batch_id IS NULL)", name="ck_file_results_have_a_batch"
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_file_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_file"),
        sa.UniqueConstraint("ref", name="uq_file_ref"),
    )
    op.create_index("ix_file_project", "file", ["project_id", "id"])
    op.create_index("ix_file_expires_at", "file", ["expires_at"])
    op.create_table(
        "file_batch",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("file_ref", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("completion_window", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=True),
        sa.Column("defaults", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("max_cost_nanos", BigInt, nullable=True),
        sa.Column("output_lifetime_s", BigInt, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("faults", sa.Text(), nullable=True),
        sa.Column("batch_id", BigInt, nullable=True),
        sa.Column("output_ref", sa.Text(), nullable=True),
        sa.Column("errors_ref", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelling_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("key_hash", sa.LargeBinary(), nullable=True),
        sa.Column("request_digest", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "state IN ('validating', 'accepted', 'failed', 'cancelled')",
            name="ck_file_batch_state_is_known",
        ),
        sa.CheckConstraint(
            "priority IN ('bulk', 'normal', 'high', 'interactive')",
            name="ck_file_batch_priority_is_known",
        ),
        sa.CheckConstraint(
            "(state = 'accepted') = (batch_id IS NOT NULL)",
            name="ck_file_batch_accepted_as_a_batch",
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_file_batch_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_file_batch"),
        sa.UniqueConstraint("ref", name="uq_file_batch_ref"),
        sa.UniqueConstraint("batch_id", name="uq_file_batch_batch_id"),
        sa.UniqueConstraint("project_id", "key_hash", name="uq_file_batch_key"),
    )
    op.create_index("ix_file_batch_project", "file_batch", ["project_id", "id"])
    op.create_index(
        "ix_file_batch_validating",
        "file_batch",
        ["id"],
        sqlite_where=sa.text(IS_VALIDATING),
        postgresql_where=sa.text(IS_VALIDATING),
    )


def downgrade() -> None:
    """Drop the tables; the batches that came of files stay, their files are not found any more."""
    op.drop_table("file_batch")
    op.drop_table("file")
