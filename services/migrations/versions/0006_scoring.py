"""Tables of the room `scoring`, and the one call that writes a batch."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (
    "CREATE SCHEMA IF NOT EXISTS scoring",
    # One row an identifier. state, traits and mails are packed by the core; pglz would cost more than it saves.
    """
    CREATE TABLE scoring.profile (
        key uuid PRIMARY KEY,
        kind int2 NOT NULL,
        value text NOT NULL,
        version int4 NOT NULL,
        seen_day int4 NOT NULL,
        pending int4 NOT NULL,
        state bytea NOT NULL,
        traits bytea,
        mails bytea
    ) WITH (fillfactor = 85, toast_tuple_target = 8160)
    """,
    "ALTER TABLE scoring.profile ALTER state SET STORAGE EXTERNAL, ALTER traits SET STORAGE EXTERNAL, ALTER mails SET STORAGE EXTERNAL",
    # The current lead of an identifier. turns: instants (ms) at which a cookie passed to another person.
    """
    CREATE TABLE scoring.link (
        key uuid PRIMARY KEY,
        lead_id uuid NOT NULL,
        kind int2 NOT NULL,
        value text NOT NULL,
        how int2 NOT NULL,
        verified bool NOT NULL,
        since int8 NOT NULL,
        turns int8[]
    ) WITH (fillfactor = 90)
    """,
    "CREATE INDEX link_lead ON scoring.link (lead_id)",
    """
    CREATE TABLE scoring.link_history (
        id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT now(),
        key uuid NOT NULL,
        from_lead uuid,
        to_lead uuid,
        how int2 NOT NULL
    )
    """,
    "CREATE INDEX link_history_key ON scoring.link_history (key)",
    "CREATE INDEX link_history_from ON scoring.link_history (from_lead)",
    # shape rises with every change of members; version with every message.
    """
    CREATE TABLE scoring.lead (
        id uuid PRIMARY KEY,
        version int8 NOT NULL,
        shape int4 NOT NULL,
        since int8 NOT NULL,
        size int2 NOT NULL,
        emails int2 NOT NULL,
        kinds int2 NOT NULL,
        known bool NOT NULL,
        account_domain text,
        network text,
        merged_into uuid
    ) WITH (fillfactor = 80)
    """,
    # id = own time in ms, then a hash of source and id: dedupe key, time and partition key in one column.
    """
    CREATE TABLE scoring.event (
        id uuid NOT NULL,
        key uuid NOT NULL,
        segment int8 NOT NULL,
        idx int2 NOT NULL,
        signal int2 NOT NULL,
        weight int2 NOT NULL,
        verdict int2 NOT NULL,
        PRIMARY KEY (id)
    ) PARTITION BY RANGE (id)
    """,
    "CREATE INDEX event_key ON scoring.event (key, id)",
    # Events whose time has no partition: too old, or from a clock far ahead. Few, kept for reading.
    """
    CREATE TABLE scoring.event_side (
        id uuid PRIMARY KEY,
        key uuid NOT NULL,
        segment int8 NOT NULL,
        idx int2 NOT NULL,
        signal int2 NOT NULL,
        weight int2 NOT NULL,
        verdict int2 NOT NULL
    )
    """,
    "CREATE INDEX event_side_key ON scoring.event_side (key, id)",
    "CREATE SEQUENCE scoring.segment_id AS int8 CACHE 1",
    """
    CREATE TABLE scoring.segment (
        id int8 PRIMARY KEY,
        received_day int4 NOT NULL,
        n int4 NOT NULL,
        body bytea NOT NULL
    ) WITH (toast_tuple_target = 8160)
    """,
    "ALTER TABLE scoring.segment ALTER body SET STORAGE EXTERNAL",
    "CREATE INDEX segment_day ON scoring.segment (received_day)",
    """
    CREATE TABLE scoring.outcome (
        id text PRIMARY KEY,
        lead_id uuid NOT NULL,
        kind text NOT NULL,
        reason text,
        rep text,
        at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX outcome_lead ON scoring.outcome (lead_id, at)",
    # Who asked to be forgotten, as a keyed hash: the address itself is gone.
    "CREATE TABLE scoring.suppressed (hash bytea PRIMARY KEY, since timestamptz NOT NULL DEFAULT now())",
    "CREATE TABLE scoring.secret (one bool PRIMARY KEY DEFAULT true CHECK (one), key bytea NOT NULL, erasures int8 NOT NULL DEFAULT 0)",
    "INSERT INTO scoring.secret (key) SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')",
    """
    CREATE TABLE scoring.erasure (
        id text PRIMARY KEY,
        asked_at timestamptz NOT NULL DEFAULT now(),
        done_at timestamptz,
        events int4 NOT NULL DEFAULT 0,
        profiles int4 NOT NULL DEFAULT 0
    )
    """,
)

# Everything of a batch but dead letters and erasures, in one round trip. Each count is checked: what was read
# ahead and is no longer so raises LR002, and the caller reads again. Statements stand in the order in which every writer
# takes its locks: own profiles, links, leads.
APPLY = """
CREATE FUNCTION scoring.apply(
    f_stage text, f_topic text, f_parts int4[], f_firsts int8[], f_nexts int8[], f_epochs int8[],
    ob_stage text, ob_lane text, ob_seq int8, ob_input bytea, ob_published int8[],
    er_known int8, seg_day int4, seg_body bytea,
    ev_id uuid[], ev_key uuid[], ev_idx int2[], ev_signal int2[], ev_weight int2[], ev_verdict int2[],
    si_id uuid[], si_key uuid[], si_idx int2[], si_signal int2[], si_weight int2[], si_verdict int2[],
    np_key uuid[], np_kind int2[], np_value text[], np_seen int4[], np_pending int4[], np_state bytea[], np_traits bytea[], np_mails bytea[],
    up_key uuid[], up_version int4[], up_seen int4[], up_pending int4[], up_state bytea[], up_traits bytea[], up_mails bytea[],
    re_id uuid[], re_weight int2[], re_verdict int2[],
    lk_key uuid[], vi_key uuid[],
    nl_key uuid[], nl_lead uuid[], nl_kind int2[], nl_value text[], nl_how int2[], nl_verified bool[], nl_since int8[],
    ml_key uuid[], ml_from uuid[], ml_to uuid[], ml_how int2[], ml_verified bool[],
    tl_key uuid[], tl_old int4[], tl_at int8[],
    mg_from uuid[], mg_to uuid[],
    cl_id uuid[], cl_version int8[], cl_since int8[], cl_shape int4[], cl_size int2[], cl_emails int2[], cl_kinds int2[], cl_known bool[],
    cl_account text[], cl_network text[], cl_bump int2[],
    ul_id uuid[], ul_expected int4[], ul_shape int4[], ul_size int2[], ul_emails int2[], ul_kinds int2[], ul_known bool[],
    ul_account text[], ul_network text[], ul_merged uuid[], ul_bump int2[]
) RETURNS TABLE (heads bytea, members bytea)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    seg int8;
    n int8;
    ids uuid[];
    k uuid;
    vers int8[];
    bumps int2[];
BEGIN
    PERFORM log.fence(f_stage, f_topic, f_parts, f_firsts, f_nexts, f_epochs);
    -- An erasure holds this lock alone: what was folded before it would bring the person back.
    PERFORM pg_advisory_xact_lock_shared(7209471107);
    IF (SELECT erasures FROM scoring.secret) <> er_known THEN RAISE EXCEPTION 'stale: erasures' USING ERRCODE = 'LR002'; END IF;

    IF cardinality(ev_id) + cardinality(si_id) > 0 THEN
        seg := nextval('scoring.segment_id');
        INSERT INTO scoring.segment VALUES (seg, seg_day, cardinality(ev_id) + cardinality(si_id), seg_body);
        INSERT INTO scoring.event
            SELECT unnest(ev_id), unnest(ev_key), seg, unnest(ev_idx), unnest(ev_signal), unnest(ev_weight), unnest(ev_verdict)
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(ev_id) THEN RAISE EXCEPTION 'stale: events' USING ERRCODE = 'LR002'; END IF;
        IF cardinality(si_id) > 0 THEN
            INSERT INTO scoring.event_side
                SELECT unnest(si_id), unnest(si_key), seg, unnest(si_idx), unnest(si_signal), unnest(si_weight), unnest(si_verdict)
                ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS n = ROW_COUNT;
            IF n <> cardinality(si_id) THEN RAISE EXCEPTION 'stale: side events' USING ERRCODE = 'LR002'; END IF;
        END IF;
    END IF;

    IF cardinality(np_key) > 0 THEN
        INSERT INTO scoring.profile
            SELECT unnest(np_key), unnest(np_kind), unnest(np_value), 1, unnest(np_seen), unnest(np_pending), unnest(np_state), unnest(np_traits), unnest(np_mails)
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(np_key) THEN RAISE EXCEPTION 'stale: new profiles' USING ERRCODE = 'LR002'; END IF;
    END IF;

    IF cardinality(up_key) > 0 THEN
        UPDATE scoring.profile p
            SET version = p.version + 1, seen_day = u.seen, pending = u.pending, state = u.state, traits = u.traits, mails = u.mails
            FROM (SELECT unnest(up_key) AS k, unnest(up_version) AS v, unnest(up_seen) AS seen, unnest(up_pending) AS pending,
                         unnest(up_state) AS state, unnest(up_traits) AS traits, unnest(up_mails) AS mails) u
            WHERE p.key = u.k AND p.version = u.v;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(up_key) THEN RAISE EXCEPTION 'stale: profiles' USING ERRCODE = 'LR002'; END IF;
    END IF;

    IF cardinality(re_id) > 0 THEN
        UPDATE scoring.event e SET weight = u.w, verdict = u.v
            FROM (SELECT unnest(re_id) AS i, unnest(re_weight) AS w, unnest(re_verdict) AS v) u WHERE e.id = u.i;
    END IF;

    -- A browser's owner and whoever links the browser to a person meet here: the second sees what the first has done.
    FOREACH k IN ARRAY lk_key LOOP
        PERFORM pg_advisory_xact_lock(720947110, hashtext(k::text));
    END LOOP;
    IF cardinality(vi_key) > 0 AND EXISTS (SELECT 1 FROM scoring.link WHERE key = ANY (vi_key)) THEN
        RAISE EXCEPTION 'stale: visitors' USING ERRCODE = 'LR002';
    END IF;
    IF cardinality(nl_key) > 0 THEN
        INSERT INTO scoring.link
            SELECT unnest(nl_key), unnest(nl_lead), unnest(nl_kind), unnest(nl_value), unnest(nl_how), unnest(nl_verified), unnest(nl_since), NULL
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(nl_key) THEN RAISE EXCEPTION 'stale: new links' USING ERRCODE = 'LR002'; END IF;
    END IF;
    IF cardinality(ml_key) > 0 THEN
        UPDATE scoring.link l SET lead_id = u.t, how = u.h, verified = u.v
            FROM (SELECT unnest(ml_key) AS k, unnest(ml_from) AS f, unnest(ml_to) AS t, unnest(ml_how) AS h, unnest(ml_verified) AS v) u
            WHERE l.key = u.k AND l.lead_id = u.f;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(ml_key) THEN RAISE EXCEPTION 'stale: links' USING ERRCODE = 'LR002'; END IF;
        INSERT INTO scoring.link_history (key, from_lead, to_lead, how)
            SELECT k, f, t, h FROM (SELECT unnest(ml_key) AS k, unnest(ml_from) AS f, unnest(ml_to) AS t, unnest(ml_how) AS h) u WHERE f <> t;
    END IF;
    IF cardinality(mg_from) > 0 THEN
        INSERT INTO scoring.link_history (key, from_lead, to_lead, how)
            SELECT l.key, l.lead_id, u.t, 3 FROM (SELECT unnest(mg_from) AS f, unnest(mg_to) AS t) u JOIN scoring.link l ON l.lead_id = u.f;
        UPDATE scoring.link l SET lead_id = u.t FROM (SELECT unnest(mg_from) AS f, unnest(mg_to) AS t) u WHERE l.lead_id = u.f;
    END IF;
    IF cardinality(tl_key) > 0 THEN
        UPDATE scoring.link l SET turns = array_append(l.turns, u.at)
            FROM (SELECT unnest(tl_key) AS k, unnest(tl_old) AS o, unnest(tl_at) AS at) u
            WHERE l.key = u.k AND coalesce(cardinality(l.turns), 0) = u.o;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(tl_key) THEN RAISE EXCEPTION 'stale: turns' USING ERRCODE = 'LR002'; END IF;
    END IF;

    IF cardinality(cl_id) > 0 THEN
        INSERT INTO scoring.lead
            SELECT unnest(cl_id), unnest(cl_version), unnest(cl_shape), unnest(cl_since), unnest(cl_size), unnest(cl_emails), unnest(cl_kinds),
                   unnest(cl_known), unnest(cl_account), unnest(cl_network), NULL
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        IF n <> cardinality(cl_id) THEN RAISE EXCEPTION 'stale: new leads' USING ERRCODE = 'LR002'; END IF;
        SELECT array_agg(i), array_agg(1::int8), array_agg(b) INTO ids, vers, bumps
            FROM (SELECT unnest(cl_id) AS i, unnest(cl_bump) AS b) u WHERE b > 0;
    END IF;
    IF cardinality(ul_id) > 0 THEN
        WITH done AS (
            UPDATE scoring.lead l
                SET version = l.version + (u.bump > 0)::int, shape = u.shape, size = u.size, emails = u.emails, kinds = u.kinds, known = u.known,
                    account_domain = u.account, network = u.network, merged_into = u.merged
                FROM (SELECT unnest(ul_id) AS i, unnest(ul_expected) AS expected, unnest(ul_shape) AS shape, unnest(ul_size) AS size,
                             unnest(ul_emails) AS emails, unnest(ul_kinds) AS kinds, unnest(ul_known) AS known, unnest(ul_account) AS account,
                             unnest(ul_network) AS network, unnest(ul_merged) AS merged, unnest(ul_bump) AS bump) u
                WHERE l.id = u.i AND l.shape = u.expected
                RETURNING l.id AS i, l.version AS v, u.bump AS b)
        SELECT count(*), ids || array_agg(i) FILTER (WHERE b > 0), vers || array_agg(v) FILTER (WHERE b > 0), bumps || array_agg(b) FILTER (WHERE b > 0)
            INTO n, ids, vers, bumps FROM done;
        IF n <> cardinality(ul_id) THEN RAISE EXCEPTION 'stale: leads' USING ERRCODE = 'LR002'; END IF;
    END IF;
    IF ids IS NULL THEN RETURN; END IF;

    SELECT string_agg(uuid_send(i) || int8send(v), '') INTO heads FROM (SELECT unnest(ids) AS i, unnest(vers) AS v) u;
    -- Members are read now that the leads are locked, so that two partitions never each see half.
    SELECT string_agg(scoring.framed(uuid_send(u.i)) || scoring.framed(int2send(l.kind)) || scoring.framed(boolsend(l.verified))
                      || scoring.framed(int8send(l.since)) || scoring.framed(convert_to(l.value, 'UTF8'))
                      || scoring.framed(coalesce(p.state, '')) || scoring.framed(coalesce(p.traits, '')), '') INTO members
        FROM (SELECT i FROM (SELECT unnest(ids) AS i, unnest(bumps) AS b) t WHERE b = 2) u
        JOIN scoring.link l ON l.lead_id = u.i
        LEFT JOIN scoring.profile p ON p.key = l.key;
    heads := coalesce(heads, '');
    members := coalesce(members, '');
    IF ob_lane IS NOT NULL THEN
        INSERT INTO log.outbox (stage, lane, seq, payload)
            VALUES (ob_stage, ob_lane, ob_seq, scoring.framed(ob_input) || scoring.framed(heads) || scoring.framed(members));
        DELETE FROM log.outbox WHERE stage = ob_stage AND lane = ob_lane AND seq = ANY (ob_published);
    END IF;
    RETURN NEXT;
END $$
"""


FRAMED = """
CREATE FUNCTION scoring.framed(part bytea) RETURNS bytea LANGUAGE sql IMMUTABLE
    RETURN int4send(length(part)) || part
"""


def upgrade() -> None:
    """Make the room."""
    for statement in TABLES:
        op.execute(statement)
    op.execute(FRAMED)
    op.execute(APPLY)


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS scoring CASCADE")
