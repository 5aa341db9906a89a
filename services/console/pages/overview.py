"""`/overview`: is all well? The flow, what died, how fast we are; `/ops/lag`: the same by partition, with leases."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from schemas.topics import FLOW
from services.console import charts
from services.console.frame import Frame
from services.console.rooms import ConsoleRooms
from services.console.views.flow import Rates, stages
from services.eventlog import deadletter
from services.eventlog.api import LEASES, OUTBOX, ends_of, lag_of
from services.eventlog.ports import LogReader
from services.notify.api.latency import Step, latency
from services.runtime.errors import Unavailable

SPANS: Final[Mapping[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
}
# Pages that are opened again and again must not ask Kafka each time.
ENDS_CACHED_S: Final = 1.0


class OverviewPages:
    """What operations look at first."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._rooms = rooms
        self._rates = Rates()
        self._readers: dict[str, LogReader] = {}  # closed with the log
        self._ends: tuple[float, dict[str, Mapping[int, int]]] | None = None

    def routes(self) -> Sequence[BaseRoute]:
        """The pages and the parts that stay fresh."""
        return (
            self._frame.page("/overview", self.overview, "ops"),
            self._frame.fragment("/overview/now", self.now, "ops"),
            self._frame.page("/ops/lag", self.lag, "ops"),
            self._frame.fragment("/ops/lag/now", self.lag_now, "ops"),
        )

    async def overview(self, request: Request) -> Response:
        """Everything on one page."""
        return await self._draw("overview.html", request, **await self._overview(request))

    async def now(self, request: Request) -> Response:
        """The figures alone."""
        return await self._draw("_overview.html", request, **await self._overview(request))

    async def lag(self, request: Request) -> Response:
        """Partition by partition."""
        return await self._draw("lag.html", request, here="/ops/lag", **await self._lag())

    async def lag_now(self, request: Request) -> Response:
        """The tables alone."""
        return await self._draw("_lag.html", request, **await self._lag())

    async def _draw(self, template: str, request: Request, **values: Any) -> Response:
        identity = await self._frame.signed_in(request)
        return self._frame.draw(template, **{"identity": identity, "here": "/overview", **values})

    async def _overview(self, request: Request) -> dict[str, Any]:
        asked = request.query_params.get("span", "")
        span = asked if asked in SPANS else "day"
        rooms = self._rooms
        unready = await rooms.loops.unready()
        lags, rates, problem = await self._flow()
        dead = sorted(await deadletter.counts(rooms.db), key=lambda one: -one["count"])
        steps = await latency(rooms.db, self._frame.clock.now(), SPANS[span])
        return {
            "unready": unready,
            "loops": rooms.loops.ages(),
            "flow": stages(lags, rates),
            "problem": problem,
            "dead": dead,
            "dead_total": sum(one["count"] for one in dead),
            "span": span,
            "spans": list(SPANS),
            "steps": steps,
            "worst": max((one.p99_ms for one in steps), default=None),
            "told": sum(one.count for one in steps),
            "chart": _chart(steps, span),
        }

    async def _lag(self) -> dict[str, Any]:
        lags, rates, problem = await self._flow()
        async with self._rooms.db.raw() as pg:
            leases = {(row["stage"], row["topic"], row["part"]): row for row in await pg.fetch(LEASES)}
            outbox = await pg.fetch(OUTBOX)
        rows = [
            {
                **one,
                "epoch": lease["epoch"],
                "until": lease["expires_at"] if lease["owner"] is not None and lease["live"] else None,
                "gone": lease["owner"] if lease["owner"] is not None and not lease["live"] else None,
            }
            for one in lags
            if (lease := leases.get((one["stage"], one["topic"], one["part"]))) is not None
        ]
        return {"flow": stages(lags, rates), "rows": rows, "outbox": [dict(row) for row in outbox], "problem": problem}

    async def _flow(self) -> tuple[list[dict[str, Any]], dict[str, float], str | None]:
        """Lag and rates; with the log away, what the leases alone say, and why."""
        rooms = self._rooms
        steady = self._frame.clock.monotonic()
        problem = None
        if self._ends is None or steady - self._ends[0] > ENDS_CACHED_S:
            try:
                ends = await ends_of(rooms.log, [topic.name for topic in FLOW], self._readers)
                self._ends = (steady, ends)
            except Unavailable as error:
                self._ends, problem = None, error.message
        known = self._ends[1] if self._ends is not None else {}
        rates = self._rates.take(steady, known) if known else {}
        return await lag_of(rooms.db, rooms.log, known), rates, problem


def _chart(steps: Sequence[Step], span: str) -> Any:
    lines = [
        charts.Series(name="p99", points=[(one.at, one.p99_ms) for one in steps], tone=2),
        charts.Series(name="p95", points=[(one.at, one.p95_ms) for one in steps], tone=4),
        charts.Series(name="p50", points=[(one.at, one.p50_ms) for one in steps], tone=1, area=True),
    ]
    label = f"Milliseconds from the event's receipt to the notice in the last {span}"
    names = charts.legend([(one.name, one.tone) for one in lines])
    return names + charts.responsive(
        partial(charts.line, lines, label=label),
        ("Time, UTC", "Notices", "p50 ms", "p95 ms", "p99 ms"),
        [(f"{one.at:%d %b %H:%M}", one.count, one.p50_ms, one.p95_ms, one.p99_ms) for one in steps],
    )
