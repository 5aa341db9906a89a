"""How long from an event to the notice? Percentiles of the last hour and day, from stored times."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends

from services.runtime.access import Identity, require
from services.runtime.clock import Clock
from services.runtime.db import Database

WINDOWS: Final = (("hour", timedelta(hours=1)), ("day", timedelta(days=1)))
# notice: until it was stored and the streams were woken; delivered: until a rep's open stream had it.
MEASURES: Final = (
    "received_to_notice",
    "occurred_to_notice",
    "routed_to_notice",
    "received_to_delivered",
    "occurred_to_delivered",
)

QUERY: Final = """
SELECT kind, measure, count(ms)::int AS n,
       percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms) AS p, max(ms) AS worst
  FROM (
    SELECT h.kind, m.measure, extract(epoch FROM h.at - m.began) * 1000.0 AS ms
      FROM notify.handled h
     CROSS JOIN LATERAL (VALUES ('received_to_notice', h.received_at), ('occurred_to_notice', h.occurred_at),
                                ('routed_to_notice', h.routed_at)) AS m(measure, began)
     WHERE h.at > $1 AND h.notices > 0
    UNION ALL
    SELECT n.kind, m.measure, extract(epoch FROM n.delivered_at - m.began) * 1000.0
      FROM notify.notice n
     CROSS JOIN LATERAL (VALUES ('received_to_delivered', n.received_at), ('occurred_to_delivered', n.occurred_at))
           AS m(measure, began)
     WHERE n.updated_at > $1 AND n.delivered_at IS NOT NULL AND n.state IN ('new', 'joined')
       AND n.delivered_at - n.updated_at < interval '10 seconds'
  ) timed
 WHERE ms IS NOT NULL
 GROUP BY kind, measure ORDER BY kind, measure"""


def slo_router(db: Database, clock: Clock) -> APIRouter:
    """`/v1/ops/slo`."""
    router = APIRouter(prefix="/v1/ops", tags=["ops"])

    @router.get("/slo")
    async def slo(_caller: Annotated[Identity, Depends(require("ops"))]) -> dict[str, Any]:
        """Milliseconds from event to notice, by kind and window."""
        now = clock.now()
        items = []
        async with db.raw() as pg:
            for window, length in WINDOWS:
                items += [
                    {
                        "window": window,
                        "kind": row["kind"],
                        "measure": row["measure"],
                        "count": row["n"],
                        "p50_ms": round(float(row["p"][0]), 1),
                        "p95_ms": round(float(row["p"][1]), 1),
                        "p99_ms": round(float(row["p"][2]), 1),
                        "max_ms": round(float(row["worst"]), 1),
                    }
                    for row in await pg.fetch(QUERY, now - length)
                ]
        return {"at": now.isoformat(), "measures": list(MEASURES), "items": items, "next": None}

    return router
