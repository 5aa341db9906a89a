"""Tables of the schema `access`: who may call us (room `runtime`)."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the schema."""
    op.execute("CREATE SCHEMA IF NOT EXISTS access")
    op.execute(
        """
        CREATE TABLE access.token (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
            role text NOT NULL CHECK (role IN ('admin', 'marketing', 'ops', 'rep')),
            rep text CHECK (rep <> ''),
            name text NOT NULL,
            created_at timestamptz NOT NULL,
            revoked_at timestamptz,
            CHECK ((role = 'rep') = (rep IS NOT NULL))
        )
        """
    )
    op.execute("CREATE INDEX token_newest ON access.token (created_at DESC, id DESC)")
    op.execute(
        """
        CREATE TABLE access.session (
            hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
            token_id uuid NOT NULL REFERENCES access.token (id) ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX session_token ON access.session (token_id)")
    op.execute("CREATE INDEX session_expiry ON access.session (expires_at)")


def downgrade() -> None:
    """Take the schema away."""
    op.execute("DROP SCHEMA IF EXISTS access CASCADE")
