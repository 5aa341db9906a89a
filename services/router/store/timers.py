"""Things to do later: at most one of a kind and lead, found by partition and due time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from services.eventlog.ports import Connection
from services.router.core.sla import Timer, TimerKind

DROP: Final = """
DELETE FROM router.timer t USING unnest($1::uuid[], $2::text[]) AS u(lead_id, kind)
WHERE t.lead_id = u.lead_id AND t.kind = u.kind
"""
PUT: Final = """
INSERT INTO router.timer (lead_id, kind, part, due_at, gen)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[], $5::int[])
ON CONFLICT (lead_id, kind) DO UPDATE SET part = EXCLUDED.part, due_at = EXCLUDED.due_at, gen = EXCLUDED.gen
"""
DUE: Final = """
SELECT lead_id, kind, due_at, gen FROM router.timer WHERE part = ANY($1::int[]) AND due_at <= $2
ORDER BY due_at, lead_id LIMIT $3
"""
OF_LEADS: Final = """
SELECT lead_id, kind, due_at, gen FROM router.timer WHERE lead_id = ANY($1::uuid[]) AND due_at <= $2
ORDER BY due_at, lead_id, kind
"""
DROP_ALL: Final = "DELETE FROM router.timer WHERE lead_id = ANY($1::uuid[])"


async def due_timers(pg: Connection, parts: Collection[int], now: datetime, limit: int) -> list[Timer]:
    """Timers of these partitions that have come due, the oldest first."""
    return _timers(await pg.fetch(DUE, sorted(parts), now, limit))


async def timers_of(pg: Connection, lead_ids: Collection[str], now: datetime) -> list[Timer]:
    """The due timers of leads that are locked: what is still there is ours to do."""
    return _timers(await pg.fetch(OF_LEADS, list(lead_ids), now))


async def save_timers(
    pg: Connection, drop: Collection[tuple[str, TimerKind]], put: Sequence[Timer], parts: Mapping[str, int]
) -> None:
    """Take timers away, then set new ones; a later one of the same kind and lead replaces an earlier one."""
    if drop:
        pairs = sorted(drop)
        await pg.execute(DROP, [lead for lead, _ in pairs], [kind for _, kind in pairs])
    if put:
        last = {(t.lead_id, t.kind): t for t in put}
        ordered = [(key, last[key]) for key in sorted(last)]
        rows = [(lead, kind, parts[lead], t.due_at, t.gen) for (lead, kind), t in ordered]
        await pg.execute(PUT, *map(list, zip(*rows, strict=True)))


async def drop_all_timers(pg: Connection, lead_ids: Collection[str]) -> None:
    """Leads that are gone have nothing to wait for."""
    if lead_ids:
        await pg.execute(DROP_ALL, sorted(lead_ids))


def _timers(rows: Sequence[Mapping[str, object]]) -> list[Timer]:
    return [Timer(lead_id=row["lead_id"].hex, kind=row["kind"], due_at=row["due_at"], gen=row["gen"]) for row in rows]  # type: ignore[attr-defined, arg-type]  # rows carry the column types of PUT
