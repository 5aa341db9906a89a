"""Tables of the room `directory`."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UP = (
    "CREATE SCHEMA IF NOT EXISTS directory",
    # One row. Whoever writes anything locks it first, so that versions rise in the order of the commits.
    """
    CREATE TABLE directory.state (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version bigint NOT NULL DEFAULT 0,
        accounts bigint NOT NULL DEFAULT 0,
        people bigint NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO directory.state DEFAULT VALUES",
    """
    CREATE TABLE directory.account (
        domain text PRIMARY KEY,
        name text NOT NULL DEFAULT '',
        industry text,
        employees integer CHECK (employees >= 0),
        country text CHECK (country ~ '^[A-Z]{2}$'),
        named boolean NOT NULL DEFAULT false,
        owner text,
        networks text[] NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX account_newest ON directory.account (created_at DESC, domain DESC)",
    "CREATE INDEX account_owner ON directory.account (owner) WHERE owner IS NOT NULL",
    """
    CREATE TABLE directory.rep (
        id text PRIMARY KEY,
        name text NOT NULL DEFAULT '',
        title text NOT NULL DEFAULT '',
        email text,
        timezone text NOT NULL DEFAULT 'UTC',
        hours text NOT NULL DEFAULT 'always',
        country text,
        languages text[] NOT NULL DEFAULT '{}',
        capacity_per_day integer CHECK (capacity_per_day >= 0),
        capacity_open integer CHECK (capacity_open >= 0),
        manager text,
        meeting_link text,
        active boolean NOT NULL DEFAULT true,
        alerts_paused_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE directory.absence (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        rep_id text NOT NULL REFERENCES directory.rep (id) ON DELETE CASCADE,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL CHECK (starts_at < ends_at),
        note text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT absence_once UNIQUE (rep_id, starts_at, ends_at)
    )
    """,
    """
    CREATE TABLE directory.pool (
        name text PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE directory.member (
        pool text NOT NULL REFERENCES directory.pool (name) ON DELETE CASCADE,
        rep_id text NOT NULL REFERENCES directory.rep (id),
        weight integer NOT NULL CHECK (weight BETWEEN 1 AND 100),
        position integer NOT NULL,
        PRIMARY KEY (pool, rep_id)
    )
    """,
    "CREATE INDEX member_rep ON directory.member (rep_id)",
)


def upgrade() -> None:
    """Make the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS directory CASCADE")
