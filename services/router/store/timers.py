"""Things to do later: at most one of a kind and lead, found by partition and due time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from services.eventlog.ports import Connection
from services.router.core.sla import Timer

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


async def due_timers(pg: Connection, parts: Collection[int], now: datetime, limit: int) -> list[Timer]:
    """Timers of these partitions that have come due, the oldest first."""
    return _timers(await pg.fetch(DUE, sorted(parts), now, limit))


async def timers_of(pg: Connection, lead_ids: Collection[str], now: datetime) -> list[Timer]:
    """The due timers of leads that are locked: what is still there is ours to do."""
    return _timers(await pg.fetch(OF_LEADS, list(lead_ids), now))


async def put_timers(pg: Connection, timers: Sequence[Timer], parts: Mapping[str, int]) -> None:
    """Set timers, of different leads or kinds."""
    rows = sorted((t.lead_id, t.kind, parts[t.lead_id], t.due_at, t.gen) for t in timers)
    await pg.execute(PUT, *map(list, zip(*rows, strict=True)))


def _timers(rows: Sequence[Mapping[str, object]]) -> list[Timer]:
    return [Timer(lead_id=row["lead_id"].hex, kind=row["kind"], due_at=row["due_at"], gen=row["gen"]) for row in rows]  # type: ignore[attr-defined, arg-type]  # rows carry the column types of PUT
