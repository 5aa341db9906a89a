"""Which accounts changed at which version; how far leads have been told of it; who must stay apart; who has forgotten."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    # The newest change of each account, taken away ones too: one row a domain, whatever happens to it.
    "CREATE TABLE directory.change (domain text PRIMARY KEY, version bigint NOT NULL)",
    "CREATE INDEX change_version ON directory.change (version)",
    # directory: versions up to `done` have reached every lead. policy: `wanted` is put to every lead on request.
    # A sweep is under way while `wanted` is set; leads up to `cursor` have been looked at, `told` of them told anew.
    """
    CREATE TABLE scoring.sweep (
        kind text PRIMARY KEY CHECK (kind IN ('directory', 'policy')),
        done bigint NOT NULL DEFAULT 0,
        wanted bigint,
        cursor uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
        looked bigint NOT NULL DEFAULT 0,
        told bigint NOT NULL DEFAULT 0,
        started_at timestamptz,
        finished_at timestamptz
    )
    """,
    "INSERT INTO scoring.sweep (kind) VALUES ('directory'), ('policy')",
    # Leads that somebody parted by hand: nothing that comes in joins them again. one < other.
    "CREATE TABLE scoring.apart (one uuid NOT NULL, other uuid NOT NULL, since timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (one, other))",
    "CREATE INDEX apart_other ON scoring.apart (other)",
    # done_at: scoring has forgotten. everywhere_at: every stage has; until then the leads are kept to ask about.
    """
    ALTER TABLE scoring.erasure
        ADD leads uuid[] NOT NULL DEFAULT '{}', ADD versions bigint[] NOT NULL DEFAULT '{}', ADD everywhere_at timestamptz
    """,
    "UPDATE scoring.erasure SET everywhere_at = done_at",
)
DOWN: tuple[str, ...] = (
    "ALTER TABLE scoring.erasure DROP leads, DROP versions, DROP everywhere_at",
    "DROP TABLE scoring.apart",
    "DROP TABLE scoring.sweep",
    "DROP TABLE directory.change",
)


def upgrade() -> None:
    """Change the rooms."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change them back."""
    for statement in DOWN:
        op.execute(statement)
