"""How far do leads come? Counts, conversion and handovers per segment, for marketing and sales alike."""

from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from services.router.core.model import LADDER
from services.runtime.db import Database

STAGES: Final = (*LADDER, "customer")
# A lead counts in the segment of its last decision in the period, up to the highest stage it had in it.
REACHED: Final = """
SELECT segment, rung, count(*) AS n FROM (
  SELECT lead_id, (array_agg(segment ORDER BY n DESC))[1] AS segment,
         max(coalesce(array_position(ARRAY['unknown', 'identified', 'qualified', 'ready_to_buy', 'customer'], stage), 1)) AS rung
  FROM router.decision WHERE at >= $1 AND at < $2 GROUP BY lead_id) AS reached
WHERE $3::text IS NULL OR segment = $3 GROUP BY segment, rung
"""
HANDED: Final = """
SELECT segment, count(*) AS handovers, count(accepted_at) AS accepted,
       count(*) FILTER (WHERE state = 'declined') AS declined, count(*) FILTER (WHERE state = 'recalled') AS recalled,
       count(*) FILTER (WHERE state = 'won') AS won, count(*) FILTER (WHERE state = 'lost') AS lost,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM accepted_at - offered_at) / 60)
         FILTER (WHERE accepted_at IS NOT NULL) AS minutes
FROM router.assignment WHERE offered_at >= $1 AND offered_at < $2 AND ($3::text IS NULL OR segment = $3)
GROUP BY GROUPING SETS ((segment), ())
"""


async def funnel(db: Database, since: datetime, until: datetime, segment: str | None) -> dict[str, Any]:
    """Counts of [since, until), by segment and in total. `stages` counts leads that came at least so far."""
    async with db.raw() as pg:
        reached = await pg.fetch(REACHED, since, until, segment)
        handed = await pg.fetch(HANDED, since, until, segment)
    counts: dict[str, list[int]] = {}
    for row in reached:
        for name in (row["segment"] or "none", "all"):
            levels = counts.setdefault(name, [0] * len(STAGES))
            for rung in range(row["rung"]):
                levels[rung] += row["n"]
    assigned: dict[str, Any] = {}
    for row in handed:
        # The row of the total has no segment; so has a lead without one, which is never handed over.
        assigned["all" if row["segment"] is None else row["segment"]] = row
    names = sorted({*counts, *assigned} - {"all"})
    return {
        "from": since.isoformat(),
        "to": until.isoformat(),
        "segments": [_line(name, counts.get(name), assigned.get(name)) for name in names],
        "total": _line("all", counts.get("all"), assigned.get("all")),
    }


def _line(name: str, levels: list[int] | None, handed: Any) -> dict[str, Any]:
    levels = levels or [0] * len(STAGES)
    stages = dict(zip(STAGES, levels, strict=True))
    steps = pairwise(STAGES)
    told = {
        key: (handed[key] if handed is not None else 0)
        for key in ("handovers", "accepted", "declined", "recalled", "won", "lost")
    }
    minutes = handed["minutes"] if handed is not None else None
    return {
        "segment": name,
        "leads": levels[0],
        "stages": stages,
        "conversion": {f"{low}_to_{high}": _share(stages[high], stages[low]) for low, high in steps},
        **told,
        "acceptance": _share(told["accepted"], told["accepted"] + told["declined"]),
        "win_rate": _share(told["won"], told["won"] + told["lost"]),
        "median_minutes_to_accept": round(float(minutes), 1) if minutes is not None else None,
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
