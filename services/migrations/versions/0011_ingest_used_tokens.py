"""More of the room `ingest`: signed tokens that were used."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    """CREATE TABLE ingest.used_token (
        id bytea PRIMARY KEY,
        body bytea NOT NULL,
        at timestamptz NOT NULL
    )""",
    "CREATE INDEX used_token_at ON ingest.used_token (at)",
    "COMMENT ON TABLE ingest.used_token IS 'hash of source and token, and of the one body that it came with'",
)
DOWN: tuple[str, ...] = ("DROP TABLE ingest.used_token",)


def upgrade() -> None:
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
