"""Appending to the log says where the records lie: readers of the same process need not ask for them."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# A row for each partition that was written: its first new offset, and the time of all of its new records. The order in
# which the counters are locked is that of the function before, which others may be running still.
PUT = """
CREATE FUNCTION log.put(topics text[], parts int[], keys bytea[], vals bytea[])
RETURNS TABLE (topic text, part int, base int8, at_ms int8) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  g record;
  base_topics text[] := '{}';
  base_parts int[] := '{}';
  bases int8[] := '{}';
  ats timestamptz[] := '{}';
  first int8;
  stamp timestamptz;
BEGIN
  -- One record is the rule when little happens: no grouping, no join.
  IF cardinality(topics) = 1 THEN
    UPDATE log.partition p SET next = p.next + 1, last_at = greatest(p.last_at, clock_timestamp())
     WHERE p.topic = topics[1] AND p.part = parts[1] RETURNING p.next - 1, p.last_at INTO first, stamp;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'topic % has no partition %', topics[1], parts[1] USING ERRCODE = 'LR003';
    END IF;
    INSERT INTO log.record (topic, part, off, at, key, value) VALUES (topics[1], parts[1], first, stamp, keys[1], vals[1]);
    RETURN QUERY SELECT topics[1], parts[1], first, (extract(epoch FROM stamp) * 1000)::int8;
    RETURN;
  END IF;
  FOR g IN SELECT u.topic, u.part, count(*) AS n FROM unnest(topics, parts) AS u(topic, part)
           GROUP BY u.topic, u.part ORDER BY u.topic, u.part LOOP
    UPDATE log.partition p SET next = p.next + g.n, last_at = greatest(p.last_at, clock_timestamp())
     WHERE p.topic = g.topic AND p.part = g.part RETURNING p.next - g.n, p.last_at INTO first, stamp;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'topic % has no partition %', g.topic, g.part USING ERRCODE = 'LR003';
    END IF;
    base_topics := base_topics || g.topic;
    base_parts := base_parts || g.part;
    bases := bases || first;
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
  RETURN QUERY SELECT b.topic, b.part, b.base, (extract(epoch FROM b.at) * 1000)::int8
    FROM unnest(base_topics, base_parts, bases, ats) AS b(topic, part, base, at);
END $$
"""

UP: tuple[str, ...] = (PUT,)
DOWN: tuple[str, ...] = ("DROP FUNCTION log.put",)


def upgrade() -> None:
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
