"""Tables of the room `notify`."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UP = (
    "CREATE SCHEMA IF NOT EXISTS notify",
    # One row a rep: its lock puts the changes of an inbox in a row, its `seq` is the cursor of every reader.
    """CREATE TABLE notify.inbox (
        rep_id text PRIMARY KEY,
        seq bigint NOT NULL DEFAULT 0,
        budget_left double precision,
        budget_at timestamptz
    )""",
    # `body` is the JSON that readers get; the columns beside it are what queries need.
    """CREATE TABLE notify.notice (
        id text PRIMARY KEY,
        rep_id text NOT NULL,
        seq bigint NOT NULL,
        kind text NOT NULL,
        state text NOT NULL,
        open boolean NOT NULL,
        leads text[] NOT NULL,
        collapse_key text,
        fresh_until timestamptz,
        occurred_at timestamptz,
        received_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        delivered_at timestamptz,
        read_at timestamptz,
        body json NOT NULL,
        CONSTRAINT notice_cursor UNIQUE (rep_id, seq)
    )""",
    "CREATE INDEX notice_leads ON notify.notice USING gin (leads)",
    "CREATE INDEX notice_collapse ON notify.notice (rep_id, collapse_key, created_at) WHERE open AND collapse_key IS NOT NULL",
    "CREATE INDEX notice_updated ON notify.notice (updated_at)",
    # Messages that have had their effect (the log may repeat them), with the times that tell how long it took.
    """CREATE TABLE notify.handled (
        message_id uuid PRIMARY KEY,
        at timestamptz NOT NULL,
        kind text NOT NULL,
        notices integer NOT NULL DEFAULT 0,
        occurred_at timestamptz,
        received_at timestamptz,
        routed_at timestamptz
    )""",
    "CREATE INDEX handled_at ON notify.handled (at)",
    # The newest greeting of a browser, for the short time in which it may connect.
    """CREATE TABLE notify.greeting (
        visitor text PRIMARY KEY,
        id text NOT NULL,
        lead_id text NOT NULL,
        body json NOT NULL,
        until timestamptz NOT NULL
    )""",
    "CREATE INDEX greeting_until ON notify.greeting (until)",
    "CREATE INDEX greeting_lead ON notify.greeting (lead_id)",
    # Work for channels with a far side: due rows are taken, sent without a transaction open, and settled.
    """CREATE TABLE notify.delivery (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        endpoint text NOT NULL,
        notice_id text NOT NULL REFERENCES notify.notice (id) ON DELETE CASCADE,
        due_at timestamptz NOT NULL,
        attempts integer NOT NULL DEFAULT 0,
        state text NOT NULL DEFAULT 'due' CHECK (state IN ('due', 'sending', 'delivered', 'gave_up')),
        taken_until timestamptz,
        reason text,
        UNIQUE (endpoint, notice_id)
    )""",
    "CREATE INDEX delivery_due ON notify.delivery (endpoint, due_at) WHERE state IN ('due', 'sending')",
    "CREATE INDEX delivery_notice ON notify.delivery (notice_id)",
)


def upgrade() -> None:
    """Make the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS notify CASCADE")
