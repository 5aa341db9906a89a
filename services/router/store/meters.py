"""Where do the leads stand now, and how long do they take from stage to stage? Counts and medians for people."""

from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from services.router.store.funnel import STAGES
from services.runtime.db import Database

STANDING: Final = """
SELECT segment, stage, route, count(*) AS n, count(assignee) AS assigned
  FROM router.lead WHERE merged_into IS NULL AND NOT erased GROUP BY segment, stage, route
"""
# For each lead with news in the period: when it first stood at each rung of the ladder, or higher.
FIRST: Final = """
WITH first AS (
  SELECT lead_id, (array_agg(segment ORDER BY n DESC))[1] AS segment,
         min(at) AS a1, min(at) FILTER (WHERE rung >= 2) AS a2, min(at) FILTER (WHERE rung >= 3) AS a3,
         min(at) FILTER (WHERE rung >= 4) AS a4, min(at) FILTER (WHERE rung >= 5) AS a5
    FROM (SELECT lead_id, segment, n, at,
                 array_position(ARRAY['unknown', 'identified', 'qualified', 'ready_to_buy', 'customer'], stage) AS rung
            FROM router.decision
           WHERE at < $2 AND lead_id IN (SELECT lead_id FROM router.decision WHERE at >= $1 AND at < $2)) AS seen
   GROUP BY lead_id),
steps AS (
  SELECT segment, s.step, extract(epoch FROM s.reached - s.began)::float8 AS seconds
    FROM first CROSS JOIN LATERAL (VALUES (1, a1, a2), (2, a2, a3), (3, a3, a4), (4, a4, a5)) AS s(step, began, reached)
   WHERE s.reached >= $1 AND ($3::text IS NULL OR segment = $3))
SELECT segment, step, grouping(segment) AS total, count(*) AS n,
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY seconds) AS p
  FROM steps GROUP BY GROUPING SETS ((segment, step), (step))
"""


async def standing(db: Database) -> list[dict[str, Any]]:
    """Leads now, by segment, stage and route: `leads`, and how many of them a person has (`assigned`)."""
    async with db.raw() as pg:
        rows = await pg.fetch(STANDING)
    return [
        {
            "segment": row["segment"],
            "stage": row["stage"],
            "route": row["route"],
            "leads": row["n"],
            "assigned": row["assigned"],
        }
        for row in rows
    ]


async def between_stages(
    db: Database, since: datetime, until: datetime, segment: str | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Segment (`all`: every one) to step (`identified_to_qualified`) to `leads`, `median_s` and `p90_s`.

    A step counts in the period in which its upper stage was reached. A lead that passes two stages at once took no time.
    """
    async with db.raw() as pg:
        rows = await pg.fetch(FIRST, since, until, segment)
    names = [f"{low}_to_{high}" for low, high in pairwise(STAGES)]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        name = "all" if row["total"] else row["segment"] or "none"
        median, late = (round(float(seconds), 1) for seconds in row["p"])
        found.setdefault(name, {})[names[row["step"] - 1]] = {"leads": row["n"], "median_s": median, "p90_s": late}
    return found
