"""The router's write says where its messages lie in the log, as every other appending does; `log.append` has no callers."""

from importlib import import_module
from typing import Final

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# The function of 0009, but for its answer: a row for each partition that was written, none when messages leave by the
# outbox. The names of the answer's columns are nobody's in the body.
BEFORE: Final[str] = import_module("services.migrations.versions.0009_router_calls").APPLY
_CHANGES: Final = (
    (") RETURNS void\n", ") RETURNS TABLE (put_topic text, put_part int, put_base int8, put_at_ms int8)\n"),
    (
        "PERFORM log.append(m_topic, m_part, m_key, m_value);",
        "RETURN QUERY SELECT p.topic, p.part, p.base, p.at_ms FROM log.put(m_topic, m_part, m_key, m_value) p;",
    ),
)
DROP: Final = "DROP FUNCTION router.apply"
APPEND: Final[str] = next(
    sql
    for sql in import_module("services.migrations.versions.0001_log").STATEMENTS
    if "CREATE FUNCTION log.append(" in sql
)


def _after() -> str:
    sql = BEFORE
    for old, new in _CHANGES:
        assert sql.count(old) == 1, old
        sql = sql.replace(old, new)
    return sql


UP: tuple[str, ...] = (DROP, _after(), "DROP FUNCTION log.append")
DOWN: tuple[str, ...] = (APPEND, DROP, BEFORE)


def upgrade() -> None:
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
