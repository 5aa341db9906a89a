"""Statements of the room `router`: one round trip to look, one to see who is free, one to write."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Everything here goes by key; plans made on empty tables would otherwise stay for a while.
PLANS = """SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off"""

# What a transaction begins with: leads with their open assignments, and which events have been looked at already.
LOOK = f"""
CREATE FUNCTION router.look(ids uuid[], event_ids uuid[], reversals bool[], holding bool)
RETURNS TABLE (lead router.lead, held router.assignment, event_id uuid, reversed bool)
LANGUAGE plpgsql {PLANS} AS $$
#variable_conflict use_column
BEGIN
    IF holding THEN
        PERFORM 1 FROM router.lead l WHERE l.id = ANY (ids) ORDER BY l.id FOR NO KEY UPDATE;
    END IF;
    RETURN QUERY SELECT l, a, NULL::uuid, NULL::bool
        FROM router.lead l LEFT JOIN router.assignment a ON a.lead_id = l.id AND a.state IN ('offered', 'accepted')
        WHERE l.id = ANY (ids);
    IF cardinality(event_ids) > 0 THEN
        RETURN QUERY SELECT NULL::router.lead, NULL::router.assignment, c.event_id, c.reversed
            FROM unnest(event_ids, reversals) AS u(id, rev) JOIN router.cause c ON c.event_id = u.id AND c.reversed = u.rev;
    END IF;
END $$
"""

# What giving away needs: the rep of each account, the state of each pool, the loads of reps that have a limit. Accounts
# before pools, each in order, as everybody locks them.
FREE = f"""
CREATE FUNCTION router.free(domains text[], pools text[], reps text[], day timestamptz, holding bool)
RETURNS TABLE (domain text, rep text, pool text, rev int, state text, open int8, given int8)
LANGUAGE plpgsql {PLANS} AS $$
#variable_conflict use_column
BEGIN
    IF holding THEN
        INSERT INTO router.account_rep (domain) SELECT unnest(domains) ON CONFLICT DO NOTHING;
        PERFORM 1 FROM router.account_rep a WHERE a.domain = ANY (domains) ORDER BY a.domain FOR NO KEY UPDATE;
        INSERT INTO router.pool_state (pool, state) SELECT unnest(pools), '{{}}' ON CONFLICT DO NOTHING;
        PERFORM 1 FROM router.pool_state p WHERE p.pool = ANY (pools) ORDER BY p.pool FOR NO KEY UPDATE;
    END IF;
    RETURN QUERY SELECT a.domain, a.rep_id, NULL::text, NULL::int, NULL::text, NULL::int8, NULL::int8
        FROM router.account_rep a WHERE a.domain = ANY (domains);
    RETURN QUERY SELECT NULL::text, NULL::text, p.pool, p.rev, p.state::text, NULL::int8, NULL::int8
        FROM router.pool_state p WHERE p.pool = ANY (pools);
    IF cardinality(reps) > 0 THEN
        RETURN QUERY SELECT NULL::text, a.rep_id, NULL::text, NULL::int, NULL::text,
                   count(*) FILTER (WHERE a.state IN ('offered', 'accepted')),
                   count(*) FILTER (WHERE a.offered_at >= day AND a.state <> 'recalled')
            FROM router.assignment a
            WHERE a.rep_id = ANY (reps) AND (a.state IN ('offered', 'accepted') OR a.offered_at >= day) GROUP BY a.rep_id;
    END IF;
END $$
"""

# Everything of a transaction, in one call. Where what was read is no longer so it raises LR002, and the caller reads
# again. Statements stand in the order in which every writer takes its locks.
APPLY = f"""
CREATE FUNCTION router.apply(
    f_stage text, f_topic text, f_parts int4[], f_firsts int8[], f_nexts int8[], f_epochs int8[],
    c_id uuid[], c_reversed bool[], c_lead uuid[],
    l_id uuid[], l_part int4[], l_rev int4[], l_version int8[], l_created timestamptz[], l_updated timestamptz[], l_known bool[],
    l_email text[], l_name text[], l_title text[], l_domain text[], l_account text[], l_segment text[], l_stage text[],
    l_route text[], l_track text[], l_pool text[], l_assignee text[], l_outcome text[], l_gen int4[], l_decisions int4[],
    l_decision uuid[], l_decided timestamptz[], l_cooldown timestamptz[], l_cooldown_why text[], l_waiting timestamptz[],
    l_waiting_why text[], l_merged uuid[], l_erased bool[], l_memory text[], l_snapshot text[],
    r_domain text[], r_there bool[], r_was text[], r_rep text[], at timestamptz,
    p_pool text[], p_rev int4[], p_state text[],
    h_id uuid[], h_lead uuid[], h_gen int4[], h_state text[], h_accepted timestamptz[], h_snoozed timestamptz[],
    h_ended timestamptz[], h_reason text[],
    o_id uuid[], o_lead uuid[], o_rep text[], o_gen int4[], o_via text[], o_pool text[], o_segment text[], o_stage text[],
    o_decision uuid[], o_shares text[], o_offered timestamptz[],
    d_id uuid[], d_lead uuid[], d_n int4[], d_at timestamptz[], d_segment text[], d_stage text[], d_route text[],
    d_assignee text[], d_causes text[], d_occurred timestamptz[], d_received timestamptz[], d_scored timestamptz[], d_record text[],
    x_lead uuid[], x_kind text[],
    t_lead uuid[], t_kind text[], t_part int4[], t_due timestamptz[], t_gen int4[],
    gone uuid[], forgotten uuid[],
    ob_lane text, ob_seq int8, ob_payload bytea, ob_published int8[],
    m_topic text[], m_part int4[], m_key bytea[], m_value bytea[]
) RETURNS void
LANGUAGE plpgsql {PLANS} AS $$
DECLARE
    n int8;
    more int8;
BEGIN
    IF cardinality(f_parts) > 0 THEN
        PERFORM log.fence(f_stage, f_topic, f_parts, f_firsts, f_nexts, f_epochs);
    END IF;

    IF cardinality(l_id) > 0 THEN
        INSERT INTO router.lead
            SELECT u.id, u.part, u.rev, u.version, u.created, u.updated, u.known, u.email, u.name, u.title, u.domain, u.account,
                   u.segment, u.stage, u.route, u.track, u.pool, u.assignee, u.outcome, u.gen, u.decisions, u.decision, u.decided,
                   u.cooldown, u.cooldown_why, u.waiting, u.waiting_why, u.merged, u.erased, u.memory::json, u.snapshot::json
              FROM unnest(l_id, l_part, l_rev, l_version, l_created, l_updated, l_known, l_email, l_name, l_title, l_domain,
                          l_account, l_segment, l_stage, l_route, l_track, l_pool, l_assignee, l_outcome, l_gen, l_decisions,
                          l_decision, l_decided, l_cooldown, l_cooldown_why, l_waiting, l_waiting_why, l_merged, l_erased,
                          l_memory, l_snapshot)
                   AS u(id, part, rev, version, created, updated, known, email, name, title, domain, account, segment, stage,
                        route, track, pool, assignee, outcome, gen, decisions, decision, decided, cooldown, cooldown_why,
                        waiting, waiting_why, merged, erased, memory, snapshot)
             WHERE u.rev = 1
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n < cardinality(l_id) THEN
            UPDATE router.lead l
               SET part = u.part, rev = u.rev, version = u.version, updated_at = u.updated, known = u.known, email = u.email,
                   name = u.name, title = u.title, domain = u.domain, account_name = u.account, segment = u.segment,
                   stage = u.stage, route = u.route, track = u.track, pool = u.pool, assignee = u.assignee,
                   outcome = u.outcome, gen = u.gen, decisions = u.decisions, decision_id = u.decision, decided_at = u.decided,
                   cooldown_until = u.cooldown, cooldown_reason = u.cooldown_why, waiting_until = u.waiting,
                   waiting_reason = u.waiting_why, merged_into = u.merged, erased = u.erased, memory = u.memory::json,
                   snapshot = u.snapshot::json
              FROM unnest(l_id, l_part, l_rev, l_version, l_updated, l_known, l_email, l_name, l_title, l_domain, l_account,
                          l_segment, l_stage, l_route, l_track, l_pool, l_assignee, l_outcome, l_gen, l_decisions, l_decision,
                          l_decided, l_cooldown, l_cooldown_why, l_waiting, l_waiting_why, l_merged, l_erased, l_memory,
                          l_snapshot)
                   AS u(id, part, rev, version, updated, known, email, name, title, domain, account, segment, stage, route,
                        track, pool, assignee, outcome, gen, decisions, decision, decided, cooldown, cooldown_why, waiting,
                        waiting_why, merged, erased, memory, snapshot)
             WHERE l.id = u.id AND l.rev = u.rev - 1 AND u.rev > 1;
            GET DIAGNOSTICS more = ROW_COUNT;
            IF n + more <> cardinality(l_id) THEN RAISE EXCEPTION 'stale: leads' USING ERRCODE = 'LR002'; END IF;
        END IF;
    END IF;

    IF cardinality(c_id) > 0 THEN
        INSERT INTO router.cause (event_id, reversed, lead_id) SELECT unnest(c_id), unnest(c_reversed), unnest(c_lead)
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(c_id) THEN RAISE EXCEPTION 'stale: events' USING ERRCODE = 'LR002'; END IF;
    END IF;

    IF cardinality(r_domain) > 0 THEN
        INSERT INTO router.account_rep (domain, rep_id, since)
            SELECT u.domain, u.rep, at FROM unnest(r_domain, r_there, r_rep) AS u(domain, there, rep) WHERE NOT u.there
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n < cardinality(r_domain) THEN
            UPDATE router.account_rep a SET rep_id = u.rep, since = at
              FROM unnest(r_domain, r_there, r_was, r_rep) AS u(domain, there, was, rep)
             WHERE a.domain = u.domain AND u.there AND a.rep_id IS NOT DISTINCT FROM u.was;
            GET DIAGNOSTICS more = ROW_COUNT;
            IF n + more <> cardinality(r_domain) THEN RAISE EXCEPTION 'stale: accounts' USING ERRCODE = 'LR002'; END IF;
        END IF;
    END IF;
    FOR k IN 1 .. cardinality(p_pool) LOOP
        INSERT INTO router.pool_state AS p (pool, rev, state) VALUES (p_pool[k], 1, p_state[k]::json)
            ON CONFLICT (pool) DO UPDATE SET rev = p.rev + 1, state = excluded.state WHERE p.rev = p_rev[k];
        IF NOT FOUND THEN RAISE EXCEPTION 'stale: pools' USING ERRCODE = 'LR002'; END IF;
    END LOOP;

    IF cardinality(h_id) > 0 THEN
        UPDATE router.assignment a
           SET lead_id = u.lead, gen = u.gen, state = u.state, accepted_at = u.accepted, snoozed_until = u.snoozed,
               ended_at = u.ended, reason = u.reason
          FROM unnest(h_id, h_lead, h_gen, h_state, h_accepted, h_snoozed, h_ended, h_reason)
               AS u(id, lead, gen, state, accepted, snoozed, ended, reason)
         WHERE a.id = u.id;
    END IF;
    IF cardinality(o_id) > 0 THEN
        INSERT INTO router.assignment (id, lead_id, rep_id, gen, state, via, pool, segment, stage, decision_id, shares, offered_at)
            SELECT u.id, u.lead, u.rep, u.gen, 'offered', u.via, u.pool, u.segment, u.stage, u.decision, u.shares::json, u.offered
              FROM unnest(o_id, o_lead, o_rep, o_gen, o_via, o_pool, o_segment, o_stage, o_decision, o_shares, o_offered)
                   AS u(id, lead, rep, gen, via, pool, segment, stage, decision, shares, offered);
    END IF;
    IF cardinality(d_id) > 0 THEN
        INSERT INTO router.decision (id, lead_id, n, at, segment, stage, route, assignee, causes, occurred_at, received_at,
                                     scored_at, routed_at, record)
            SELECT u.id, u.lead, u.n, u.decided, u.segment, u.stage, u.route, u.assignee, string_to_array(u.causes, ' '),
                   u.occurred, u.received, u.scored, at, u.record::json
              FROM unnest(d_id, d_lead, d_n, d_at, d_segment, d_stage, d_route, d_assignee, d_causes, d_occurred, d_received,
                          d_scored, d_record)
                   AS u(id, lead, n, decided, segment, stage, route, assignee, causes, occurred, received, scored, record);
    END IF;

    IF cardinality(x_lead) > 0 THEN
        DELETE FROM router.timer t USING unnest(x_lead, x_kind) AS u(lead, kind) WHERE t.lead_id = u.lead AND t.kind = u.kind;
    END IF;
    IF cardinality(t_lead) > 0 THEN
        INSERT INTO router.timer (lead_id, kind, part, due_at, gen)
            SELECT unnest(t_lead), unnest(t_kind), unnest(t_part), unnest(t_due), unnest(t_gen)
            ON CONFLICT (lead_id, kind) DO UPDATE SET part = excluded.part, due_at = excluded.due_at, gen = excluded.gen;
    END IF;
    IF cardinality(gone) > 0 THEN
        DELETE FROM router.timer WHERE lead_id = ANY (gone);
    END IF;
    IF cardinality(forgotten) > 0 THEN
        -- The person may have been several leads before: what was merged away is forgotten as well.
        UPDATE router.lead SET email = NULL, name = NULL, title = NULL, domain = NULL, account_name = NULL, snapshot = NULL,
                               memory = '{{}}', erased = true WHERE merged_into = ANY (forgotten);
        DELETE FROM router.decision WHERE lead_id = ANY (forgotten)
            OR lead_id IN (SELECT id FROM router.lead WHERE merged_into = ANY (forgotten));
        DELETE FROM router.cause WHERE lead_id = ANY (forgotten)
            OR lead_id IN (SELECT id FROM router.lead WHERE merged_into = ANY (forgotten));
    END IF;

    IF ob_lane IS NOT NULL THEN
        DELETE FROM log.outbox WHERE stage = f_stage AND lane = ob_lane AND seq = ANY (ob_published);
        INSERT INTO log.outbox (stage, lane, seq, payload) VALUES (f_stage, ob_lane, ob_seq, ob_payload);
    END IF;
    IF cardinality(m_topic) > 0 THEN
        PERFORM log.append(m_topic, m_part, m_key, m_value);
    END IF;
END $$
"""

UP: tuple[str, ...] = (
    # Counts the writes of a pool: what was chosen from an older state does not count.
    "ALTER TABLE router.pool_state ADD COLUMN rev integer NOT NULL DEFAULT 1",
    LOOK,
    FREE,
    APPLY,
)
DOWN: tuple[str, ...] = (
    "DROP FUNCTION router.apply",
    "DROP FUNCTION router.free",
    "DROP FUNCTION router.look",
    "ALTER TABLE router.pool_state DROP COLUMN rev",
)


def upgrade() -> None:
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
