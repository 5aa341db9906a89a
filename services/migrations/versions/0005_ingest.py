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
      rejected bigint NOT NULL DEFAULT 0,
      recent jsonb NOT NULL DEFAULT '[]',
      api_token bytea
    )
    """,
    "COMMENT ON COLUMN ingest.source.key_hash IS 'SHA-256 of the write key, which itself is kept nowhere'",
    "COMMENT ON COLUMN ingest.source.secret IS 'sealed; signs the requests of the platform'",
    "COMMENT ON COLUMN ingest.source.recent IS 'its last few events: signal and time of receipt'",
    "COMMENT ON COLUMN ingest.source.api_token IS 'sealed; with it contacts are looked up at the platform'",
    # -- events that name a contact only by the platform's id wait here, in order, until it has been looked up
    """
    CREATE TABLE ingest.waiting (
      seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      source_id text NOT NULL,
      object_id text NOT NULL,
      key bytea NOT NULL,
      value bytea NOT NULL,
      since timestamptz NOT NULL,
      retry_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX waiting_object ON ingest.waiting (source_id, object_id, seq)",
    """
    CREATE TABLE ingest.enricher (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      owner text NOT NULL,
      expires_at timestamptz NOT NULL
    )
    """,
    "COMMENT ON TABLE ingest.enricher IS 'the one process that looks contacts up at present'",
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
      AFTER INSERT OR DELETE OR UPDATE OF name, platform, key_hash, old_key_hash, secret, old_secret, publishable, disabled,
        api_token
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
