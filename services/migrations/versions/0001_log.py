"""Tables of the room `log`: leases, outbox, dead letters, and the log itself when it lies in PostgreSQL."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS log",
    # -- who reads which partition, and how far. next_offset -1: never begun. Updated with every batch: room for HOT.
    """
    CREATE TABLE log.lease (
      stage text NOT NULL,
      topic text NOT NULL,
      part int NOT NULL,
      owner text,
      epoch bigint NOT NULL DEFAULT 0,
      next_offset bigint NOT NULL DEFAULT -1,
      expires_at timestamptz NOT NULL DEFAULT '-infinity',
      seen_ms bigint,
      PRIMARY KEY (stage, topic, part)
    ) WITH (fillfactor = 20)
    """,
    "COMMENT ON COLUMN log.lease.seen_ms IS 'time of the newest record that was handled, Unix ms; written by heartbeats'",
    # -- which processes live, so that each knows its fair share before it owns anything
    """
    CREATE TABLE log.member (
      stage text NOT NULL,
      topic text NOT NULL,
      owner text NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (stage, topic, owner)
    ) WITH (fillfactor = 50)
    """,
    # -- the fence: first statement of every batch transaction
    """
    CREATE FUNCTION log.fence(stage_ text, topic_ text, parts int[], firsts bigint[], nexts bigint[], epochs bigint[])
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      lost int[] := '{}';
    BEGIN
      -- One row after the other, in the order given (the caller sorts by partition): no deadlock with a heartbeat.
      FOR i IN 1 .. cardinality(parts) LOOP
        UPDATE log.lease SET next_offset = nexts[i]
         WHERE stage = stage_ AND topic = topic_ AND part = parts[i] AND epoch = epochs[i] AND next_offset <= firsts[i];
        IF NOT FOUND THEN
          lost := lost || parts[i];
        END IF;
      END LOOP;
      IF cardinality(lost) > 0 THEN
        RAISE EXCEPTION 'the lease of % partition(s) of % has moved on', cardinality(lost), topic_
          USING ERRCODE = 'LR001', DETAIL = array_to_string(lost, ',');
      END IF;
    END $$
    """,
    # -- the same for work that moves no position (timers)
    """
    CREATE FUNCTION log.hold(stage_ text, topic_ text, parts int[], epochs bigint[])
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      lost int[] := '{}';
    BEGIN
      FOR i IN 1 .. cardinality(parts) LOOP
        PERFORM 1 FROM log.lease
         WHERE stage = stage_ AND topic = topic_ AND part = parts[i] AND epoch = epochs[i] FOR NO KEY UPDATE;
        IF NOT FOUND THEN
          lost := lost || parts[i];
        END IF;
      END LOOP;
      IF cardinality(lost) > 0 THEN
        RAISE EXCEPTION 'the lease of % partition(s) of % has moved on', cardinality(lost), topic_
          USING ERRCODE = 'LR001', DETAIL = array_to_string(lost, ',');
      END IF;
    END $$
    """,
    # -- messages that wait to be published to Kafka; payloads are compressed by the writer
    """
    CREATE TABLE log.outbox (
      stage text NOT NULL,
      lane text NOT NULL,
      seq bigint NOT NULL,
      payload bytea NOT NULL,
      staged_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (stage, lane, seq)
    )
    """,
    "ALTER TABLE log.outbox ALTER COLUMN payload SET STORAGE EXTERNAL",
    # Rows live for milliseconds: the table must be swept long before a fifth of it is dead.
    "ALTER TABLE log.outbox SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000)",
    # -- which process writes which lane; a lane whose writer is gone is emptied by another
    """
    CREATE TABLE log.lane (
      stage text NOT NULL,
      lane text NOT NULL,
      owner text NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (stage, lane)
    ) WITH (fillfactor = 50)
    """,
    # -- records that can never be handled, with their bytes
    """
    CREATE TABLE log.dead_letter (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      stage text NOT NULL,
      topic text NOT NULL,
      part int NOT NULL,
      off bigint NOT NULL,
      reason text NOT NULL,
      detail bytea NOT NULL,
      key bytea,
      value bytea,
      attempts int NOT NULL DEFAULT 1,
      died_at timestamptz NOT NULL DEFAULT now(),
      replayed_at timestamptz,
      replayed_by text,
      UNIQUE (stage, topic, part, off, reason)
    )
    """,
    "COMMENT ON COLUMN log.dead_letter.detail IS 'UTF-8 text as bytes: what was wrong may quote a NUL, which text refuses'",
    "CREATE INDEX ON log.dead_letter (stage, reason, id)",
    "CREATE INDEX ON log.dead_letter (id) WHERE replayed_at IS NULL",
    # -- the log in PostgreSQL: one row a partition gives gap-free offsets
    """
    CREATE TABLE log.partition (
      topic text NOT NULL,
      part int NOT NULL,
      first bigint NOT NULL DEFAULT 0,
      next bigint NOT NULL DEFAULT 0,
      last_at timestamptz NOT NULL DEFAULT '-infinity',
      PRIMARY KEY (topic, part)
    ) WITH (fillfactor = 20)
    """,
    """
    CREATE TABLE log.record (
      topic text NOT NULL,
      part int NOT NULL,
      off bigint NOT NULL,
      at timestamptz NOT NULL,
      key bytea,
      value bytea,
      PRIMARY KEY (topic, part, off, at)
    ) PARTITION BY RANGE (topic, at)
    """,
    # -- append: one round trip, the last statement of a transaction
    """
    CREATE FUNCTION log.append(topics text[], parts int[], keys bytea[], vals bytea[])
    RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      g record;
      base_topics text[] := '{}';
      base_parts int[] := '{}';
      bases bigint[] := '{}';
      ats timestamptz[] := '{}';
      base bigint;
      stamp timestamptz;
    BEGIN
      -- Locks are taken in (topic, part) order by everybody. The lock is held until the commit, so offsets become
      -- visible in order and without gaps. `at` never goes back within a partition: readers skip older days by it.
      FOR g IN SELECT u.topic, u.part, count(*) AS n FROM unnest(topics, parts) AS u(topic, part)
               GROUP BY u.topic, u.part ORDER BY u.topic, u.part LOOP
        UPDATE log.partition p SET next = p.next + g.n, last_at = greatest(p.last_at, clock_timestamp())
         WHERE p.topic = g.topic AND p.part = g.part
        RETURNING p.next - g.n, p.last_at INTO base, stamp;
        IF NOT FOUND THEN
          RAISE EXCEPTION 'topic % has no partition %', g.topic, g.part USING ERRCODE = 'LR003';
        END IF;
        base_topics := base_topics || g.topic;
        base_parts := base_parts || g.part;
        bases := bases || base;
        ats := ats || stamp;
      END LOOP;
      INSERT INTO log.record (topic, part, off, at, key, value)
      SELECT u.topic, u.part, b.base + u.n - 1, b.at, u.key, u.value
        FROM (SELECT x.topic, x.part, x.key, x.value, x.ord,
                     row_number() OVER (PARTITION BY x.topic, x.part ORDER BY x.ord) AS n
                FROM unnest(topics, parts, keys, vals) WITH ORDINALITY AS x(topic, part, key, value, ord)) u
        JOIN unnest(base_topics, base_parts, bases, ats) AS b(topic, part, base, at)
          ON b.topic = u.topic AND b.part = u.part
       ORDER BY u.topic, u.part, u.n;
    END $$
    """,
    # -- days are made ahead; ATTACH does not stop readers and writers as CREATE … PARTITION OF would
    """
    CREATE FUNCTION log.make_days(ahead int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE
      t record;
      day date;
      name text;
      made int := 0;
    BEGIN
      PERFORM pg_advisory_xact_lock(7209471104);
      FOR t IN SELECT p.topic, greatest(now(), max(p.last_at)) AS newest FROM log.partition p GROUP BY p.topic LOOP
        FOR d IN -1 .. ahead LOOP
          day := (t.newest AT TIME ZONE 'UTC')::date + d;
          name := left('record_' || regexp_replace(t.topic, '[^A-Za-z0-9]', '_', 'g'), 40)
                  || '_' || left(md5(t.topic), 6) || to_char(day, '_YYYYMMDD');
          IF to_regclass(format('log.%I', name)) IS NULL THEN
            EXECUTE format('CREATE TABLE log.%I (LIKE log.record INCLUDING ALL)', name);
            EXECUTE format('ALTER TABLE log.record ATTACH PARTITION log.%I FOR VALUES FROM (%L, %L) TO (%L, %L)',
                           name, t.topic, day::timestamp AT TIME ZONE 'UTC', t.topic, (day + 1)::timestamp AT TIME ZONE 'UTC');
            made := made + 1;
          END IF;
        END LOOP;
      END LOOP;
      RETURN made;
    END $$
    """,
    # -- drop the oldest day of one topic if all of it is older than `keep_days`; false: nothing to drop
    """
    CREATE FUNCTION log.drop_day(topic_ text, keep_days int) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
      oldest text;
      edge text;
      unread boolean;
    BEGIN
      SET LOCAL lock_timeout = '500ms';
      SET LOCAL timezone = 'UTC';
      edge := to_char((now() - make_interval(days => keep_days))::date, 'YYYYMMDD');
      SELECT c.relname INTO oldest
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'log.record'::regclass
         AND c.relname LIKE left('record_' || regexp_replace(topic_, '[^A-Za-z0-9]', '_', 'g'), 40)
                            || '\\_' || left(md5(topic_), 6) || '\\_%'
       ORDER BY right(c.relname, 8) LIMIT 1;
      IF oldest IS NULL OR right(oldest, 8) >= edge THEN
        RETURN false;
      END IF;
      -- A machine that was off for a week must find its records when it comes back; but not for ever.
      IF right(oldest, 8) >= to_char((now() - make_interval(days => 4 * keep_days))::date, 'YYYYMMDD') THEN
        EXECUTE format(
          'SELECT EXISTS (SELECT 1 FROM log.lease l WHERE l.topic = $1 AND EXISTS (
             SELECT 1 FROM log.%I r WHERE r.topic = l.topic AND r.part = l.part AND r.off >= l.next_offset))', oldest)
          INTO unread USING topic_;
        IF unread THEN
          RETURN false;
        END IF;
      END IF;
      EXECUTE format('DROP TABLE log.%I', oldest);
      -- DROP holds the whole log still, so what is first now stays first until we commit.
      UPDATE log.partition p
         SET first = coalesce((SELECT min(r.off) FROM log.record r WHERE r.topic = p.topic AND r.part = p.part), p.next)
       WHERE p.topic = topic_;
      RETURN true;
    END $$
    """,
)


def upgrade() -> None:
    """Make the room."""
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take the room away."""
    op.execute("DROP SCHEMA IF EXISTS log CASCADE")
