"""How has the time from event to notice gone over the last hours? Percentiles in steps, for the chart of operations."""

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from services.runtime.db import Database

STEPS: Final = 48
# What is told late on purpose (`you_missed`) says nothing of our speed.
SERIES: Final = """
SELECT floor(extract(epoch FROM h.at - $1) / $3)::int AS step, count(*)::int AS n,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM h.at - h.received_at) * 1000.0) AS p
  FROM notify.handled h
 WHERE h.at >= $1 AND h.at < $2 AND h.notices > 0 AND h.received_at IS NOT NULL AND h.kind <> 'you_missed'
 GROUP BY 1 ORDER BY 1"""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of time: how many notices, and milliseconds from receipt of the event to the stored notice."""

    at: datetime
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


async def latency(db: Database, now: datetime, length: timedelta) -> list[Step]:
    """The steps of the last `length` in which anything was told, oldest first."""
    since, width = now - length, length.total_seconds() / STEPS
    async with db.raw() as pg:
        rows: list[Any] = await pg.fetch(SERIES, since, now, width)
    return [
        Step(
            at=since + timedelta(seconds=(row["step"] + 0.5) * width),
            count=row["n"],
            p50_ms=round(float(row["p"][0]), 1),
            p95_ms=round(float(row["p"][1]), 1),
            p99_ms=round(float(row["p"][2]), 1),
        )
        for row in rows
    ]
