"""Batches of the Anthropic surface."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "message_batch",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelling_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_message_batch_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_message_batch"),
        sa.UniqueConstraint("ref", name="uq_message_batch_ref"),
        sa.UniqueConstraint("batch_id", name="uq_message_batch_batch_id"),
    )
    op.create_index("ix_message_batch_project", "message_batch", ["project_id", "id"])


def downgrade() -> None:
    """Drop the table; its batches stay, under `/api` alone."""
    op.drop_table("message_batch")
