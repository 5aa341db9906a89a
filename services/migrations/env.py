"""Alembic's door: runs the one history on the connection it is handed (`services/migrations/run.py`)."""

from alembic import context
from sqlalchemy import text

VERSION_TABLE = "lead_router_version"
# Any number that nobody else uses: two processes that start at once migrate one after the other.
ADVISORY_LOCK = 7_209_471_103


def _run() -> None:
    context.configure(
        connection=context.config.attributes["connection"], version_table_schema="public", version_table=VERSION_TABLE
    )
    with context.begin_transaction():
        context.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
        context.execute(text("SET LOCAL lock_timeout = '10s'"))
        context.run_migrations()


_run()
