"""Alembic's entry: runs the migrations on the connection that `jobs.store.engine.schema` hands over."""

from alembic import context
from sqlmodel import SQLModel

import jobs.tables  # noqa: F401  (fills the metadata)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
