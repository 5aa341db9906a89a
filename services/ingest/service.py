"""Ingest, composed: sources → receiver → committer → log. Stage 1 of the flow.

Reads: HTTP requests of marketing tools, servers and browsers. Writes: the topic `tracking.events`, dead letters of stage
`ingest`. Owns: the PostgreSQL schema `ingest`.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import structlog
from fastapi import APIRouter
from starlette.routing import BaseRoute

from services.eventlog import deadletter
from services.eventlog.ports import DeadRecord, Log, Outbox
from services.ingest.api.doors import Doors
from services.ingest.api.health import SourceHealth
from services.ingest.api.sources import source_router
from services.ingest.api.tokens import UsedTokens
from services.ingest.api.trial import trial_router
from services.ingest.commands import create_source, rotate_source
from services.ingest.core.addresses import networks
from services.ingest.handler import metrics
from services.ingest.handler.commit import Committer
from services.ingest.handler.enrich import Enricher
from services.ingest.handler.receive import STAGE, Receiver
from services.ingest.handler.remake import REQUESTS, Policies, Remaker, Spelling
from services.ingest.handler.waiting import FORGOTTEN, Waiting, forget
from services.ingest.sources.base import Limits
from services.ingest.store import NewSource, SourceCache, SourceStore
from services.runtime.access import Access
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import LeadRouterError, Misconfigured
from services.runtime.health import Loops
from services.runtime.outgoing import Outgoing
from services.runtime.secretbox import SecretBox
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

SPOOL_LANE: Final = "spool"
SPOOL_TURN_S: Final = 5.0
LOOP: Final = "ingest commit"


class IngestService:
    """The stage as the composition sees it.

    Args:
        policies: Gives the company's own names of events; None: only ours are known.
        access: Unused here, the API finds it in the app.
        box: Opens the signing secrets of sources.
    """

    name = "ingest"

    def __init__(
        self,
        *,
        settings: Settings,
        db: Database,
        listener: Listener | None,
        log: Log,
        policies: Policies | None,
        clock: Clock,
        loops: Loops,
        box: SecretBox,
        access: Access | None = None,
    ) -> None:
        del access
        try:
            trusted = networks(settings.trusted_proxies)
        except ValueError as error:
            msg = f"LEAD_ROUTER_TRUSTED_PROXIES is not a comma list of networks: {error}"
            raise Misconfigured(msg) from error
        self._settings = settings
        self._db = db
        self._log = log
        self._clock = clock
        self._loops = loops
        self.store = SourceStore(db, box, clock)
        self.health = SourceHealth(db, self.store, settings)
        self._sources = SourceCache(self.store, box, clock, listener)
        outbox = log.outbox(STAGE, SPOOL_LANE)
        # With the log in PostgreSQL a spool beside it would be away whenever the log is.
        self._spool: Outbox | None = None if outbox.direct else outbox
        self._committer = Committer(
            log.writer(),
            self._spool,
            self._bury,
            log.healthy,
            db=db,
            clock=clock,
            wait_s=settings.commit_wait_ms / 1000,
            queue_max=settings.ingest_queue_max,
            beat=lambda: loops.beat(LOOP),
        )
        limits, spelling = limits_of(settings), Spelling(policies)
        self._spelling = spelling
        deadletter.remade_by(REQUESTS, Remaker(limits, spelling))
        waiting = Waiting(db, clock)
        self._receiver = Receiver(
            self._committer, waiting, self._sources, spelling=spelling, limits=limits, clock=clock
        )
        self._enricher = Enricher(
            waiting,
            self._sources,
            Outgoing(settings, settings.hubspot_url),
            self._committer.commit,
            owner=log.owner,
            settings=settings,
            clock=clock,
        )
        if listener is not None:
            listener.on(FORGOTTEN, self._enricher.forget)
        tokens = UsedTokens(db, clock)
        self._doors = Doors(self._receiver, self._sources, tokens, settings=settings, clock=clock, trusted=trusted)
        self._task: asyncio.Task[None] | None = None

    def routes(self) -> Sequence[BaseRoute]:
        """The doors for events."""
        return self._doors.routes()

    def routers(self) -> Sequence[APIRouter]:
        """The API of sources."""
        return [
            source_router(self.store, self._sources, self._db, self._settings),
            trial_router(self.store, self._sources, self._clock, self._spelling.names),
        ]

    async def start(self, *, consume: bool = True) -> None:
        """Load the sources and begin to take events.

        Args:
            consume: False in a process that only shows APIs: it leaves the spools of others alone.
        """
        await self._sources.start()
        await self._committer.start()
        if consume:
            await self._enricher.start()
        if self._spool is not None and consume:
            self._task = asyncio.create_task(self._relay(self._spool), name="ingest spool")

    async def stop(self, deadline_s: float) -> None:
        """Commit what waits, publish what is spooled if the log takes it, write the counters."""
        await self._enricher.stop()
        await self._committer.stop(deadline_s)
        self._loops.forget(LOOP)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._spool is not None:
            with contextlib.suppress(LeadRouterError):
                await self._spool.flush(min(deadline_s, 2.0))
        with contextlib.suppress(LeadRouterError):
            await self._sources.stop()

    async def ready(self) -> str | None:
        """None when events are taken."""
        if not self._sources.loaded:
            return "the sources are not loaded yet"
        if self._committer.ended:
            return "the commit loop has ended; see the log"
        if self._enricher.ended:
            return "the loop that looks contacts up has ended; see the log"
        return None

    async def publishable_key(self, key: str) -> bool:
        """Whether `key` is the write key of a live publishable source: may it show the site snippet?"""
        source = await self._sources.by_key(key)
        return source is not None and source.publishable and not source.disabled

    async def forget(self, pg: Any, names: Sequence[tuple[str, str]]) -> None:
        """Drop what waits of a person who asked to be forgotten, in the caller's transaction; (kind, value) of each name."""
        await forget(pg, names)

    async def create_source(
        self,
        name: str,
        platform: str,
        write_key: str | None = None,
        secret: str | None = None,
        *,
        publishable: bool = False,
    ) -> NewSource:
        """As `commands.create_source`, known to this process at once."""
        made = await create_source(self.store, name, platform, write_key, secret, publishable=publishable)
        await self._sources.refresh()
        return made

    async def rotate_source(self, source_id: str) -> NewSource | None:
        """As `commands.rotate_source`, known to this process at once; None when there is no such source."""
        await self._sources.refresh()
        source = await self._sources.by_id(source_id)
        made = await rotate_source(self.store, source) if source is not None else None
        await self._sources.refresh()
        return made

    async def disable_source(self, source_id: str, *, disabled: bool) -> bool:
        """Refuse (or take again) what a source sends, known to this process at once. False: no such source."""
        done = await self.store.disable(source_id, disabled=disabled)
        await self._sources.refresh()
        return done

    async def _bury(self, dead: Sequence[DeadRecord]) -> None:
        # The same bad item twice in one request is one dead letter.
        once = {(record.offset, record.reason): record for record in dead}
        async with self._db.transaction() as pg:
            await deadletter.bury(pg, STAGE, REQUESTS, list(once.values()))

    async def _relay(self, spool: Outbox) -> None:
        """Begin to empty the spools that a crash, or a process that is gone, left behind; say how much waits."""
        begun = False
        while True:
            try:
                if not begun:
                    await spool.drain()  # from here on the outbox does it by itself
                    begun = True
                metrics.SPOOL_DEPTH.set(await spool.waiting())
            except LeadRouterError as error:
                log.warning("the spool waits", reason=error.code)
            await asyncio.sleep(SPOOL_TURN_S)


def limits_of(settings: Settings) -> Limits:
    """The bounds of one request, from the settings."""
    return Limits(items=settings.batch_max_items, event_bytes=settings.event_max_bytes, nesting=settings.nesting_max)


def replay_requests(settings: Settings, policies: Policies | None) -> None:
    """Let dead letters of ingest be put back by a process that runs no ingest (the command line)."""
    deadletter.remade_by(REQUESTS, Remaker(limits_of(settings), Spelling(policies)))
