"""The stage `router`: reads lead.scored; writes lead.routed and lead.outcomes; owns the schema `router`."""

import asyncio
import gc
import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog
from fastapi import APIRouter
from starlette.routing import BaseRoute

from schemas.topics import LEAD_SCORED
from services.directory.store import DirectoryCache
from services.eventlog.consume import Consumer
from services.eventlog.fence import translate
from services.eventlog.lease import Leases
from services.eventlog.ports import Log
from services.policy.cache import PolicyCache
from services.router.api import LeadDesk, Leads, router_router
from services.router.commands import metrics
from services.router.commands.answers import Answers
from services.router.core.sla import Timer
from services.router.handler import RouterHandler
from services.router.handler.flight import Work
from services.router.store.decisions import prune_causes
from services.router.store.reads import Reads
from services.router.store.timers import put_timers
from services.runtime.access import Access
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import Conflict, Unavailable
from services.runtime.health import Loops
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

SWEEP_S: Final = 30.0
SWEEPS_TO_ALL: Final = 20  # so often garbage is also looked for among what is old
PRUNE_MAX: Final = 50_000
SPARE_DAYS: Final = 2


class RouterService:
    """The composition root of the stage.

    Args:
        on_fatal: Called when the reading loop has ended by a bug or on purpose: end the process.
    """

    name = "router"

    def __init__(
        self,
        *,
        settings: Settings,
        db: Database,
        log: Log,
        policies: PolicyCache,
        directory: DirectoryCache,
        access: Access,  # noqa: ARG002 every stage is built the same way; the app holds it
        clock: Clock,
        loops: Loops,
        on_fatal: Callable[[Exception], None] | None = None,
        **_rest: object,
    ) -> None:
        self._settings = settings
        self._on_fatal = on_fatal
        self._db = db
        self._clock = clock
        self._loops = loops
        self._log = log
        self._policies = policies
        self._reads = Reads(db)
        self._sweeping: asyncio.Task[None] | None = None
        self._consumer: Consumer[Work] | None = None
        self._outbox = log.outbox(self.name, "batch")
        self._api_outbox = log.outbox(self.name, "api")
        self.handler = RouterHandler(
            db=db,
            outbox=self._outbox,
            policies=policies,
            view=lambda: directory.view,
            part_of=self._part_of,
            clock=clock,
        )
        self.leads = Leads(db, lambda: directory.view, lambda: policies.active, clock)
        self.desk = LeadDesk(db, self.leads)
        self.answers = Answers(
            db=db,
            outbox=self._api_outbox,
            active=lambda: policies.active,
            view=lambda: directory.view,
            part_of=self._part_of,
            clock=clock,
        )

    def _part_of(self, lead_id: str) -> int:
        return self._log.partition_of(LEAD_SCORED.name, lead_id.encode())

    def routes(self) -> Sequence[BaseRoute]:
        """No plain routes."""
        return []

    def routers(self) -> Sequence[APIRouter]:
        """Leads, decisions, answers, funnel."""
        return [router_router(self.leads, self.answers)]

    async def start(self, *, consume: bool = True) -> None:
        """Begin. Without `consume` only the API works: answers leave, nothing is decided."""
        await self._api_outbox.drain()
        if not consume:
            return
        parts = self._log.partitions(LEAD_SCORED.name)
        leases = Leases(self._db, "router", LEAD_SCORED.name, parts, self._log.owner, self._clock, self._settings)
        self._consumer = Consumer(
            self._log,
            LEAD_SCORED.name,
            "router",
            self.handler,
            self._db,
            leases,
            self._settings,
            self._loops,
            outbox=self._outbox,
            on_fatal=self._on_fatal,
            clock=self._clock,
        )
        # The collector would walk the batches under way again and again. The sweep collects.
        gc.collect()
        gc.freeze()
        gc.disable()
        await self._consumer.start()
        self._sweeping = asyncio.create_task(self._sweep_for_ever(), name="router sweep")

    async def stop(self, deadline_s: float) -> None:
        """Finish what is under way."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
            self._sweeping = None
            gc.enable()
            gc.unfreeze()
        if self._consumer is not None:
            await self._consumer.stop(deadline_s)
            self._consumer = None
        await self._api_outbox.flush(min(2.0, deadline_s))

    async def ready(self) -> str | None:
        """None when decisions are made, else what is missing."""
        if self._policies.ready is not None:
            return self._policies.ready
        return self._consumer.ready() if self._consumer is not None else None

    def lag(self) -> list[dict[str, object]]:
        """Records that wait, by partition."""
        return self._consumer.lag() if self._consumer is not None else []

    async def sweep(self) -> int:
        """Count orphans, and have each decided again at once; forget old event ids. Returns how many orphans."""
        now = self._clock.now()
        orphans = await self._reads.orphans(now - timedelta(seconds=SWEEP_S))
        metrics.ORPHANS.set(len(orphans))
        async with self._db.transaction() as pg:
            if orphans:
                log.warning("leads without owner, track or dated reason: deciding them again", count=len(orphans))
                put = [Timer(lead_id=lead_id, kind="retry", due_at=now) for lead_id in orphans]
                await put_timers(pg, put, {lead_id: self._part_of(lead_id) for lead_id in orphans})
            keep = timedelta(days=self._settings.dedupe_days + SPARE_DAYS)
            await prune_causes(pg, now - keep, PRUNE_MAX)
        return len(orphans)

    async def _sweep_for_ever(self) -> None:
        # It rests longer between two turns than others: the limit of all loops may be shorter than that.
        self._loops.register("router.sweep", SWEEP_S + self._settings.watchdog_s)
        for turn in itertools.count(1):
            self._loops.beat("router.sweep")
            gc.collect(1 if turn % SWEEPS_TO_ALL else 2)
            try:
                await self.sweep()
            except Exception as raised:
                error = translate(raised)
                if not isinstance(error, Unavailable | Conflict):
                    raise
                log.warning("orphans are looked for later", error=error.message)
            await asyncio.sleep(SWEEP_S)
