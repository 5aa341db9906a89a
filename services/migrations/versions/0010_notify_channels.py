"""Channels, preferences and deliveries of the room `notify`."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    # Nothing has ever written to the table of 0008.
    "DROP TABLE notify.delivery",
    # `secret` and `secret_before` are sealed JSON objects; `tat`, `pause_until` and the counts are the state of its queue.
    """CREATE TABLE notify.endpoint (
        id text PRIMARY KEY,
        name text NOT NULL UNIQUE,
        kind text NOT NULL,
        feed boolean NOT NULL,
        options json NOT NULL DEFAULT '{}',
        secret bytea NOT NULL,
        secret_before bytea,
        kinds text[] NOT NULL,
        reps text[] NOT NULL DEFAULT '{}',
        segments text[] NOT NULL DEFAULT '{}',
        concurrency integer NOT NULL CHECK (concurrency BETWEEN 1 AND 4),
        per_s double precision NOT NULL CHECK (per_s > 0),
        version integer NOT NULL DEFAULT 1,
        enabled boolean NOT NULL DEFAULT true,
        disabled_reason text,
        disabled_at timestamptz,
        created_at timestamptz NOT NULL,
        rotated_at timestamptz,
        tat timestamptz,
        failures integer NOT NULL DEFAULT 0,
        failing_since timestamptz,
        pause_until timestamptz,
        last_ok_at timestamptz,
        last_error text,
        last_error_at timestamptz
    )""",
    # How far each rep's inbox is planned: the lock on this row makes planning happen once.
    """CREATE TABLE notify.plan (
        rep_id text PRIMARY KEY,
        planned bigint NOT NULL DEFAULT 0,
        interrupts timestamptz[] NOT NULL DEFAULT '{}'
    )""",
    # What was there before is not told again.
    "INSERT INTO notify.plan (rep_id, planned) SELECT rep_id, seq FROM notify.inbox",
    # The row of the rep '' holds what the company sets for everybody.
    """CREATE TABLE notify.preference (
        rep_id text PRIMARY KEY,
        body json NOT NULL,
        updated_at timestamptz NOT NULL,
        updated_by text NOT NULL
    )""",
    """CREATE TABLE notify.delivery (
        id text PRIMARY KEY,
        endpoint text NOT NULL,
        rep_id text NOT NULL,
        who text NOT NULL CHECK (who IN ('rep', 'feed', 'delegate', 'manager')),
        purpose text NOT NULL CHECK (purpose IN ('tell', 'change', 'step', 'digest')),
        notice_id text REFERENCES notify.notice (id) ON DELETE CASCADE,
        seq bigint NOT NULL,
        step integer NOT NULL DEFAULT 0,
        state text NOT NULL CHECK (state IN ('due', 'held', 'delivered', 'skipped', 'gave_up')),
        due_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        settled_at timestamptz,
        attempts integer NOT NULL DEFAULT 0,
        unsettled integer NOT NULL DEFAULT 0,
        uncertain boolean NOT NULL DEFAULT false,
        taken_until timestamptz,
        taken_by text,
        digest_id text,
        shown_seq bigint NOT NULL DEFAULT 0,
        receipt json,
        reason text NOT NULL DEFAULT '',
        detail text NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX delivery_due ON notify.delivery (endpoint, due_at) WHERE state = 'due'",
    "CREATE INDEX delivery_taken ON notify.delivery (endpoint) WHERE state = 'due' AND taken_until IS NOT NULL",
    "CREATE INDEX delivery_held ON notify.delivery (endpoint, rep_id) WHERE state = 'held'",
    "CREATE INDEX delivery_digest ON notify.delivery (digest_id) WHERE digest_id IS NOT NULL",
    "CREATE INDEX delivery_notice ON notify.delivery (notice_id)",
    "CREATE INDEX delivery_pending ON notify.delivery (rep_id) WHERE purpose = 'digest' AND state = 'due'",
    "CREATE INDEX delivery_newest ON notify.delivery (created_at DESC, id DESC)",
)
DOWN: tuple[str, ...] = (
    "DROP TABLE notify.delivery",
    "DROP TABLE notify.preference",
    "DROP TABLE notify.plan",
    "DROP TABLE notify.endpoint",
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
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
