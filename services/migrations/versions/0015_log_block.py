"""The log in PostgreSQL takes the messages of one topic as one block: PostgreSQL and the writer pay half of what they did."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

UP: tuple[str, ...] = (
    # `log.put` for messages that lie in the order of their partitions. `parts`, ascending, and `counts`: how many
    # go where. `groups`: for each message which of `parts` it goes to, from 1. `key_at` and `value_at`: where each begins
    # in `keys` and `vals`, from 1, and where the last one ends.
    """
    CREATE FUNCTION log.put_block(
      topic_ text, parts int[], counts int[], groups int[], key_at int[], value_at int[], keys bytea, vals bytea
    ) RETURNS TABLE (part int, base int8, at_ms int8) LANGUAGE plpgsql AS $$
    #variable_conflict use_column
    DECLARE
      bases bigint[] := '{}';
      ats timestamptz[] := '{}';
      first bigint;
      stamp timestamptz;
      before bigint := 0;
    BEGIN
      -- Locks are taken in the order of the others; what `log.append` says of offsets and `at` holds here.
      FOR i IN 1 .. cardinality(parts) LOOP
        UPDATE log.partition p SET next = p.next + counts[i], last_at = greatest(p.last_at, clock_timestamp())
         WHERE p.topic = topic_ AND p.part = parts[i]
        RETURNING p.next - counts[i] - before, p.last_at INTO first, stamp;
        IF NOT FOUND THEN
          RAISE EXCEPTION 'topic % has no partition %', topic_, parts[i] USING ERRCODE = 'LR003';
        END IF;
        bases := bases || first;
        ats := ats || stamp;
        before := before + counts[i];
      END LOOP;
      INSERT INTO log.record (topic, part, off, at, key, value)
      SELECT topic_, parts[x.g], bases[x.g] + x.n - 1, ats[x.g],
             substr(keys, key_at[x.n], key_at[x.n + 1] - key_at[x.n]),
             substr(vals, value_at[x.n], value_at[x.n + 1] - value_at[x.n])
        FROM unnest(groups) WITH ORDINALITY AS x(g, n);
      before := 0;
      FOR i IN 1 .. cardinality(parts) LOOP
        part := parts[i];
        base := bases[i] + before;
        at_ms := (extract(epoch FROM ats[i]) * 1000)::int8;
        before := before + counts[i];
        RETURN NEXT;
      END LOOP;
    END $$
    """,
)
DOWN: tuple[str, ...] = ("DROP FUNCTION log.put_block",)


def upgrade() -> None:
    """Change the room."""
    for statement in UP:
        op.execute(statement)


def downgrade() -> None:
    """Change it back."""
    for statement in DOWN:
        op.execute(statement)
