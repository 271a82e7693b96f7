"""What an API key may do, until when, and what it is for."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; the keys that exist keep everything that they could do, for ever."""
    op.add_column("api_key", sa.Column("name", sa.Text(), nullable=True))
    op.add_column(
        "api_key",
        sa.Column("scopes", sa.Text(), nullable=False, server_default="read,submit,admin"),
    )
    op.add_column("api_key", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        # From here on whoever makes a key says what it may do. SQLite can't take a default back.
        op.alter_column("api_key", "scopes", server_default=None)


def downgrade() -> None:
    """Drop what was added: keys with few scopes get all of them, so those are revoked first."""
    op.execute(
        "UPDATE api_key SET revoked_at = CURRENT_TIMESTAMP WHERE revoked_at IS NULL "
        "AND (scopes <> 'read,submit,admin' OR expires_at IS NOT NULL)"
    )
    for column in ("expires_at", "scopes", "name"):
        op.execute(f"ALTER TABLE api_key DROP COLUMN {column}")
