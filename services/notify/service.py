"""The stage `notify`, put together: log → handler → notices → streams."""

from collections.abc import Callable, Sequence
from typing import Final

from fastapi import APIRouter
from starlette.routing import BaseRoute

from schemas.topics import LEAD_ROUTED, StageName
from services.eventlog.consume import Consumer
from services.eventlog.lease import Leases
from services.eventlog.ports import Log
from services.notify.api.desk import RepDesk
from services.notify.api.inbox import Inbox, inbox_router, inbox_stream
from services.notify.api.site import PublishableKey, site_routes
from services.notify.api.slo import slo_router
from services.notify.channels.inbox import InboxChannel
from services.notify.channels.site import SiteChannel
from services.notify.handler.routed import NotifyHandler
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.health import Loops
from services.runtime.settings import Settings

STAGE: Final[StageName] = "notify"


class NotifyService:
    """Stage 4.

    Args:
        listener: Not started yet: we register our channels on it; whoever made it starts and stops it.
        publishable_key: Says whether a key is a live publishable source key. Ingest owns the sources.
        beat_s: Seconds between the beats of a stream; None: the default, spread over the clients.
        on_fatal: Called when the reading loop has ended by a bug or on purpose: end the process.
    """

    name: StageName = STAGE

    def __init__(
        self,
        *,
        settings: Settings,
        db: Database,
        listener: Listener,
        log: Log,
        clock: Clock,
        loops: Loops,
        publishable_key: PublishableKey,
        beat_s: float | None = None,
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        self.inbox = Inbox(db, clock)
        self.desk = RepDesk(db, clock)
        self._db = db
        self._clock = clock
        self._publishable_key = publishable_key
        self._beat_s = beat_s
        self._consuming = False
        self._inbox_channel = InboxChannel(db, clock, listener)
        self._site_channel = SiteChannel(db, clock, listener)
        self.handler = NotifyHandler(
            db=db,
            clock=clock,
            collapse_s=settings.collapse_s,
            # A record may come again as long as the log keeps it; the margin covers clocks and dead letters.
            handled_days=settings.log_retention_days + 7,
            telling=self._inbox_channel.telling,
        )
        topic = LEAD_ROUTED.name
        leases = Leases(db, STAGE, topic, log.partitions(topic), log.owner, clock, settings)
        self.consumer = Consumer(
            log, topic, STAGE, self.handler, db, leases, settings, loops, on_fatal=on_fatal, clock=clock
        )

    def routes(self) -> list[BaseRoute]:
        """Plain routes: streams and the site's snippet."""
        return [
            inbox_stream(self._inbox_channel, self._beat_s),
            *site_routes(self._site_channel, self._publishable_key, self._beat_s),
        ]

    def routers(self) -> list[APIRouter]:
        """The other APIs."""
        return [inbox_router(self.inbox), slo_router(self._db, self._clock)]

    async def start(self, *, consume: bool = True) -> None:
        """Begin to push, then to read.

        Args:
            consume: False in a process that only shows the inbox and the site streams.
        """
        await self._inbox_channel.start()
        await self._site_channel.start()
        self._consuming = consume
        if consume:
            await self.consumer.start()

    async def stop(self, deadline_s: float) -> None:
        """Stop reading, then end the streams; the HTTP server may stop before or after."""
        if self._consuming:
            await self.consumer.stop(deadline_s)
        await self._inbox_channel.stop()
        await self._site_channel.stop()

    async def ready(self) -> str | None:
        """None when notices are made and pushed, else what is missing."""
        problems: Sequence[str | None] = (
            self._inbox_channel.ready(),
            self._site_channel.ready(),
            self.consumer.ready(),
        )
        return next((p for p in problems if p), None)
