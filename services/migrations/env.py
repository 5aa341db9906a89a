"""Alembic's door: runs the one history on the connection, and in the transaction, that `services/migrations/run.py` hands it."""

from alembic import context

from services.migrations.run import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table_schema="public", version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
