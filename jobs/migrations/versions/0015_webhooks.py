"""Webhooks, what they are to be told, and what of each batch they were."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

IS_UNTOLD = "told_state <> state"
IS_OPEN = "ended_at IS NULL"


def upgrade() -> None:
    """Add the tables; of batches that exist nobody was told anything."""
    op.add_column("batch", sa.Column("told_state", sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "batch", sa.Column("told_percent", sa.Integer(), nullable=False, server_default="0")
    )
    op.create_index(
        "ix_batch_untold",
        "batch",
        ["project_id"],
        sqlite_where=sa.text(IS_UNTOLD),
        postgresql_where=sa.text(IS_UNTOLD),
    )
    op.create_table(
        "webhook",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_webhook_project_id"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook"),
        sa.UniqueConstraint("ref", name="uq_webhook_ref"),
    )
    op.create_index("ix_webhook_project", "webhook", ["project_id"])
    op.create_table(
        "webhook_message",
        sa.Column("id", BigInt, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("webhook_id", BigInt, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhook.id"],
            name="fk_webhook_message_webhook_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_message"),
        sa.UniqueConstraint("ref", name="uq_webhook_message_ref"),
    )
    op.create_index(
        "ix_webhook_message_due",
        "webhook_message",
        ["due_at"],
        sqlite_where=sa.text(IS_OPEN),
        postgresql_where=sa.text(IS_OPEN),
    )
    op.create_index("ix_webhook_message_ended", "webhook_message", ["ended_at"])


def downgrade() -> None:
    """Take them away, with what was not told yet."""
    op.drop_table("webhook_message")
    op.drop_table("webhook")
    op.drop_index("ix_batch_untold", "batch")
    op.drop_column("batch", "told_percent")
    op.drop_column("batch", "told_state")
