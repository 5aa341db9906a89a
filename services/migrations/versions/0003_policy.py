"""Tables of the room `policy`."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the room."""
    op.execute("CREATE SCHEMA IF NOT EXISTS policy")
    op.execute(
        """
        CREATE TABLE policy.version (
            version integer PRIMARY KEY CHECK (version > 0),
            body text NOT NULL,
            note text NOT NULL DEFAULT '',
            saved_by text NOT NULL,
            saved_at timestamptz NOT NULL DEFAULT now(),
            -- the version whose text this is, when it was made by a rollback
            copy_of integer REFERENCES policy.version,
            activated_by text,
            activated_at timestamptz
        )
        """
    )
    # One row at most: the version that is in force.
    op.execute(
        """
        CREATE TABLE policy.active (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            version integer NOT NULL REFERENCES policy.version
        )
        """
    )
    # Numbers of counters in stored state. Rows are never changed and never deleted: a number is never reused.
    op.execute(
        """
        CREATE TABLE policy.signal_code (
            name text PRIMARY KEY,
            code smallint NOT NULL UNIQUE CHECK (code BETWEEN 64 AND 254)
        )
        """
    )


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS policy CASCADE")
