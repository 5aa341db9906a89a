"""Tables of the room `ingest`."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS ingest",
    """
    CREATE TABLE ingest.source (
      id text PRIMARY KEY,
      name text NOT NULL UNIQUE,
      platform text NOT NULL,
      key_hash bytea NOT NULL UNIQUE,
      old_key_hash bytea UNIQUE,
      secret bytea,
      old_secret bytea,
      publishable boolean NOT NULL DEFAULT false,
      disabled boolean NOT NULL DEFAULT false,
      created_at timestamptz NOT NULL DEFAULT now(),
      rotated_at timestamptz,
      seen_at timestamptz,
      accepted bigint NOT NULL DEFAULT 0,
      rejected bigint NOT NULL DEFAULT 0
    )
    """,
    "COMMENT ON COLUMN ingest.source.key_hash IS 'SHA-256 of the write key, which itself is kept nowhere'",
    "COMMENT ON COLUMN ingest.source.secret IS 'sealed; signs the requests of the platform'",
    # -- every process holds all sources in memory: tell them when one changes, but not for the counters
    """
    CREATE FUNCTION ingest.source_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_notify('ingest_source', '');
      RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER source_changed
      AFTER INSERT OR DELETE OR UPDATE OF name, platform, key_hash, old_key_hash, secret, old_secret, publishable, disabled
      ON ingest.source FOR EACH ROW EXECUTE FUNCTION ingest.source_changed()
    """,
)


def upgrade() -> None:
    """Make the room."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS ingest CASCADE")
