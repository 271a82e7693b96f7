"""Logins of browsers, and the index by which failed results are found."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

IS_FAILED = "status = 'failed'"


def upgrade() -> None:
    """Add the table and the index; of a million results the latter takes a second or two."""
    op.create_table(
        "login",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("api_key_id", BigInt, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name="fk_login_api_key_id"),
        sa.PrimaryKeyConstraint("token_hash", name="pk_login"),
    )
    op.create_index(
        "ix_result_failed",
        "result",
        ["batch_id", "error_code", "position"],
        sqlite_where=sa.text(IS_FAILED),
        postgresql_where=sa.text(IS_FAILED),
    )


def downgrade() -> None:
    """Drop both; everybody is logged out."""
    op.drop_index("ix_result_failed", "result")
    op.drop_table("login")
