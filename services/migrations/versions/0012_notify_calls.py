"""Statements of the room `notify`: one round trip to look, one to write a batch."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Everything here goes by key; plans made on empty tables would otherwise stay for a while.
PLANS = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off"""

# What a batch may change, in one answer of three kinds of rows: messages known already, inboxes, notices. Inboxes come
# before notices: whatever changes a notice in between moves the inbox's seq, and `notify.apply` sees that.
LOOK = f"""
CREATE FUNCTION notify.look(ids uuid[], reps text[], keys text[], oldest timestamptz, open_of text[], all_of text[], holding bool)
RETURNS TABLE (message uuid, rep text, seq int8, budget_left float8, budget_at timestamptz, body text)
LANGUAGE plpgsql {PLANS} AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT h.message_id, NULL::text, NULL::int8, NULL::float8, NULL::timestamptz, NULL::text
        FROM notify.handled h WHERE h.message_id = ANY (ids);
    -- Every notice of a lead was made by messages of that lead's partition, which only the caller holds: this list
    -- cannot grow between this look and the write.
    IF cardinality(open_of) + cardinality(all_of) > 0 THEN
        reps := reps || ARRAY(
            SELECT DISTINCT l.rep_id FROM notify.notice_lead l JOIN notify.notice n ON n.id = l.notice_id
             WHERE l.lead_id = ANY (all_of) OR (l.lead_id = ANY (open_of) AND n.open));
    END IF;
    IF holding THEN
        INSERT INTO notify.inbox (rep_id) SELECT DISTINCT r FROM unnest(reps) r ORDER BY r ON CONFLICT DO NOTHING;
        PERFORM 1 FROM notify.inbox i WHERE i.rep_id = ANY (reps) ORDER BY i.rep_id FOR UPDATE;
    END IF;
    RETURN QUERY SELECT NULL::uuid, i.rep_id, i.seq, i.budget_left, i.budget_at, NULL::text
        FROM notify.inbox i WHERE i.rep_id = ANY (reps);
    IF cardinality(keys) > 0 THEN
        RETURN QUERY SELECT NULL::uuid, n.rep_id, NULL::int8, NULL::float8, NULL::timestamptz, n.body::text
            FROM notify.notice n
            WHERE n.rep_id = ANY (reps) AND n.open AND n.collapse_key = ANY (keys) AND n.created_at > oldest;
    END IF;
    IF cardinality(open_of) + cardinality(all_of) > 0 THEN
        RETURN QUERY SELECT NULL::uuid, n.rep_id, NULL::int8, NULL::float8, NULL::timestamptz, n.body::text
            FROM notify.notice n
            WHERE n.id IN (SELECT l.notice_id FROM notify.notice_lead l WHERE l.lead_id = ANY (open_of || all_of))
              AND (n.open OR EXISTS (SELECT 1 FROM notify.notice_lead l WHERE l.notice_id = n.id AND l.lead_id = ANY (all_of)));
    END IF;
END $$
"""

# Everything of a batch but dead letters, in one call. What was read and is no longer so raises LR002: the caller reads
# again. NOTIFY leaves at the commit.
APPLY = f"""
CREATE FUNCTION notify.apply(
    f_stage text, f_topic text, f_parts int4[], f_firsts int8[], f_nexts int8[], f_epochs int8[],
    at timestamptz,
    h_id uuid[], h_kind text[], h_notices int4[], h_occurred timestamptz[], h_received timestamptz[], h_routed timestamptz[],
    i_rep text[], i_was int8[], i_seq int8[], i_left float8[], i_at timestamptz[],
    n_id text[], n_rep text[], n_seq int8[], n_kind text[], n_state text[], n_open bool[], n_key text[], n_fresh timestamptz[],
    n_occurred timestamptz[], n_received timestamptz[], n_created timestamptz[], n_updated timestamptz[], n_body text[],
    l_lead text[], l_notice text[], l_rep text[],
    g_visitor text[], g_id text[], g_lead text[], g_body text[], g_until timestamptz[],
    erased text[], inbox_channel text, site_channel text
) RETURNS void
LANGUAGE plpgsql {PLANS} AS $$
DECLARE
    n int8;
BEGIN
    IF cardinality(f_parts) > 0 THEN
        PERFORM log.fence(f_stage, f_topic, f_parts, f_firsts, f_nexts, f_epochs);
    END IF;
    INSERT INTO notify.handled (message_id, at, kind, notices, occurred_at, received_at, routed_at)
        SELECT u.id, at, u.kind, u.n, u.occurred, u.received, u.routed
          FROM unnest(h_id, h_kind, h_notices, h_occurred, h_received, h_routed) AS u(id, kind, n, occurred, received, routed)
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS n = ROW_COUNT;
    IF n <> cardinality(h_id) THEN RAISE EXCEPTION 'stale: messages' USING ERRCODE = 'LR002'; END IF;

    FOR k IN 1 .. cardinality(i_rep) LOOP
        IF i_was[k] = 0 THEN
            INSERT INTO notify.inbox AS i (rep_id, seq, budget_left, budget_at) VALUES (i_rep[k], i_seq[k], i_left[k], i_at[k])
                ON CONFLICT (rep_id) DO UPDATE
                SET seq = excluded.seq, budget_left = excluded.budget_left, budget_at = excluded.budget_at WHERE i.seq = 0;
        ELSE
            UPDATE notify.inbox SET seq = i_seq[k], budget_left = i_left[k], budget_at = i_at[k]
                WHERE rep_id = i_rep[k] AND seq = i_was[k];
        END IF;
        IF NOT FOUND THEN RAISE EXCEPTION 'stale: inboxes' USING ERRCODE = 'LR002'; END IF;
    END LOOP;

    IF cardinality(n_id) > 0 THEN
        INSERT INTO notify.notice (id, rep_id, seq, kind, state, open, collapse_key, fresh_until, occurred_at, received_at,
                                   created_at, updated_at, body)
            SELECT u.id, u.rep, u.seq, u.kind, u.state, u.open, u.key, u.fresh, u.occurred, u.received, u.created, u.updated, u.body::json
              FROM unnest(n_id, n_rep, n_seq, n_kind, n_state, n_open, n_key, n_fresh, n_occurred, n_received, n_created, n_updated, n_body)
                   AS u(id, rep, seq, kind, state, open, key, fresh, occurred, received, created, updated, body)
            ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, kind = excluded.kind, state = excluded.state, open = excluded.open,
                collapse_key = excluded.collapse_key, fresh_until = excluded.fresh_until, occurred_at = excluded.occurred_at,
                received_at = excluded.received_at, updated_at = excluded.updated_at, body = excluded.body,
                delivered_at = NULL, read_at = NULL;
        INSERT INTO notify.notice_lead (lead_id, notice_id, rep_id)
            SELECT u.lead, u.notice, u.rep FROM unnest(l_lead, l_notice, l_rep) AS u(lead, notice, rep) ON CONFLICT DO NOTHING;
        PERFORM pg_notify(inbox_channel, r) FROM unnest(i_rep) r;
    END IF;

    IF cardinality(g_visitor) > 0 THEN
        INSERT INTO notify.greeting (visitor, id, lead_id, body, until)
            SELECT u.visitor, u.id, u.lead, u.body::json, u.until
              FROM unnest(g_visitor, g_id, g_lead, g_body, g_until) AS u(visitor, id, lead, body, until)
            ON CONFLICT (visitor) DO UPDATE
            SET id = excluded.id, lead_id = excluded.lead_id, body = excluded.body, until = excluded.until;
        PERFORM pg_notify(site_channel, v) FROM unnest(g_visitor) v;
    END IF;
    IF cardinality(erased) > 0 THEN
        DELETE FROM notify.greeting WHERE lead_id = ANY (erased);
    END IF;
END $$
"""

UP: tuple[str, ...] = (
    # Who is in which notice: a row a pair. An array with an index of its words was written anew with every change of a
    # notice, for everybody in it.
    """CREATE TABLE notify.notice_lead (
        lead_id text NOT NULL,
        notice_id text NOT NULL REFERENCES notify.notice (id) ON DELETE CASCADE,
        rep_id text NOT NULL,
        PRIMARY KEY (lead_id, notice_id)
    )""",
    "CREATE INDEX notice_lead_notice ON notify.notice_lead (notice_id)",
    """INSERT INTO notify.notice_lead (lead_id, notice_id, rep_id)
       SELECT DISTINCT l, n.id, n.rep_id FROM notify.notice n CROSS JOIN LATERAL unnest(n.leads) l""",
    "DROP INDEX notify.notice_leads",
    "ALTER TABLE notify.notice DROP COLUMN leads",
    LOOK,
    APPLY,
)
DOWN: tuple[str, ...] = (
    "DROP FUNCTION notify.apply",
    "DROP FUNCTION notify.look",
    "ALTER TABLE notify.notice ADD COLUMN leads text[] NOT NULL DEFAULT '{}'",
    """UPDATE notify.notice n SET leads = l.leads
       FROM (SELECT notice_id, array_agg(lead_id) AS leads FROM notify.notice_lead GROUP BY notice_id) l WHERE l.notice_id = n.id""",
    "ALTER TABLE notify.notice ALTER COLUMN leads DROP DEFAULT",
    "CREATE INDEX notice_leads ON notify.notice USING gin (leads)",
    "DROP TABLE notify.notice_lead",
)


def upgrade() -> None:
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
