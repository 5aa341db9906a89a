"""Tables of the room `router`."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LEAD = """
CREATE TABLE router.lead (
    id uuid PRIMARY KEY,
    part integer NOT NULL,
    rev integer NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    known boolean NOT NULL,
    email text,
    name text,
    title text,
    domain text,
    account_name text,
    segment text,
    stage text NOT NULL,
    route text NOT NULL,
    track text,
    pool text,
    assignee text,
    outcome text,
    gen integer NOT NULL,
    decisions integer NOT NULL,
    decision_id uuid,
    decided_at timestamptz,
    cooldown_until timestamptz,
    cooldown_reason text,
    waiting_until timestamptz,
    waiting_reason text,
    merged_into uuid,
    erased boolean NOT NULL,
    memory json NOT NULL,
    snapshot json
) WITH (fillfactor = 80)
"""

ASSIGNMENT = """
CREATE TABLE router.assignment (
    id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    rep_id text NOT NULL,
    gen integer NOT NULL,
    state text NOT NULL CHECK (state IN ('offered', 'accepted', 'declined', 'recalled', 'closed', 'won', 'lost')),
    via text NOT NULL,
    pool text,
    segment text,
    stage text NOT NULL,
    decision_id uuid NOT NULL,
    shares json NOT NULL,
    offered_at timestamptz NOT NULL,
    accepted_at timestamptz,
    snoozed_until timestamptz,
    ended_at timestamptz,
    reason text
) WITH (fillfactor = 90)
"""

DECISION = """
CREATE TABLE router.decision (
    id uuid PRIMARY KEY,
    lead_id uuid NOT NULL,
    n integer NOT NULL,
    at timestamptz NOT NULL,
    segment text,
    stage text NOT NULL,
    route text NOT NULL,
    assignee text,
    causes text[] NOT NULL,
    occurred_at timestamptz,
    received_at timestamptz,
    scored_at timestamptz,
    routed_at timestamptz NOT NULL,
    record json NOT NULL,
    UNIQUE (lead_id, n)
) WITH (toast_tuple_target = 8160)
"""

TIMER = """
CREATE TABLE router.timer (
    lead_id uuid NOT NULL,
    kind text NOT NULL,
    part integer NOT NULL,
    due_at timestamptz NOT NULL,
    gen integer NOT NULL,
    PRIMARY KEY (lead_id, kind)
)
"""

STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS router",
    LEAD,
    "CREATE INDEX lead_newest ON router.lead (created_at DESC, id DESC) WHERE merged_into IS NULL AND NOT erased",
    "CREATE INDEX lead_email ON router.lead (email) WHERE email IS NOT NULL",
    "CREATE INDEX lead_assignee ON router.lead (assignee) WHERE assignee IS NOT NULL",
    "CREATE INDEX lead_orphan ON router.lead (id) WHERE assignee IS NULL AND track IS NULL AND merged_into IS NULL AND NOT erased",
    "CREATE INDEX lead_merged ON router.lead (merged_into) WHERE merged_into IS NOT NULL",
    ASSIGNMENT,
    "CREATE UNIQUE INDEX assignment_open ON router.assignment (lead_id) WHERE state IN ('offered', 'accepted')",
    "CREATE INDEX assignment_lead ON router.assignment (lead_id, gen)",
    "CREATE INDEX assignment_rep ON router.assignment (rep_id, offered_at)",
    "CREATE INDEX assignment_rep_open ON router.assignment (rep_id) WHERE state IN ('offered', 'accepted')",
    "CREATE INDEX assignment_offered ON router.assignment USING brin (offered_at) WITH (autosummarize = on)",
    DECISION,
    "CREATE INDEX decision_at ON router.decision USING brin (at) WITH (autosummarize = on)",
    "CREATE TABLE router.pool_state (pool text PRIMARY KEY, state json NOT NULL)",
    "CREATE TABLE router.account_rep (domain text PRIMARY KEY, rep_id text, since timestamptz)",
    TIMER,
    "CREATE INDEX timer_due ON router.timer (part, due_at)",
    """
    CREATE TABLE router.cause (
        event_id uuid NOT NULL,
        reversed boolean NOT NULL,
        lead_id uuid NOT NULL,
        PRIMARY KEY (event_id, reversed)
    )
    """,
    "CREATE INDEX cause_lead ON router.cause (lead_id)",
)


def upgrade() -> None:
    """Make the room."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS router CASCADE")
