"""Idempotency keys of submissions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "idempotency_key",
        sa.Column("project_id", BigInt, nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("batch_id", BigInt, nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batch.id"], name="fk_idempotency_key_batch_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "key_hash", name="pk_idempotency_key"),
        sa.UniqueConstraint("batch_id", name="uq_idempotency_key_batch_id"),
    )


def downgrade() -> None:
    """Drop the table; a submission that is sent again makes a second batch then."""
    op.drop_table("idempotency_key")
