"""The stage `notify`, put together: log → handler → notices → streams."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fastapi import APIRouter
from starlette.routing import BaseRoute

from schemas.topics import LEAD_ROUTED, StageName
from services.directory.core.people import Rep
from services.eventlog.consume import Consumer
from services.eventlog.lease import Leases
from services.eventlog.ports import Log
from services.notify.api.desk import RepDesk
from services.notify.api.endpoints import channel_router, delivery_router
from services.notify.api.inbox import Inbox, inbox_router, inbox_stream
from services.notify.api.preferences import Desk, preference_router
from services.notify.api.site import PublishableKey, site_routes
from services.notify.api.slack import Answer, SlackActions
from services.notify.api.slo import slo_router
from services.notify.channels.inbox import InboxChannel
from services.notify.channels.kinds import KINDS
from services.notify.channels.site import SiteChannel
from services.notify.handler.delivering import Deliverer, tools_of
from services.notify.handler.endpoints import Endpoints
from services.notify.handler.planning import Planner
from services.notify.handler.routed import NotifyHandler
from services.notify.store.endpoints import EndpointStore
from services.notify.store.ledger import Ledger
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.health import Loops
from services.runtime.secretbox import SecretBox
from services.runtime.settings import Settings

STAGE: Final[StageName] = "notify"
# What channels get to settle in, however long the consumer took.
CLOSING_S: Final = 0.5


class Channels:
    """Channels with a far side: their engine, and their doors."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        listener: Listener,
        clock: Clock,
        *,
        box: SecretBox,
        reps: Callable[[], Mapping[str, Rep]],
        inbox: Inbox,
        answer: Answer | None,
        loops: Loops,
        on_fatal: Callable[[Exception], None] | None,
    ) -> None:
        self._clock = clock
        store, tools = EndpointStore(db, box), tools_of(settings)
        self.endpoints = Endpoints(store, tools, clock)
        self.ledger = Ledger(db)
        self.preferences = Desk(db, clock, store, reps, settings.interrupts_per_hour)
        self._slack = (
            SlackActions(store, tools, clock, inbox, self.ledger, reps=reps, give=answer)
            if answer is not None
            else None
        )
        self._deliverer = Deliverer(db, clock, listener, store, tools, reps=reps, loops=loops, on_fatal=on_fatal)
        changing = {name for name, kind in KINDS.items() if kind.changes}
        self._planner = Planner(
            db,
            clock,
            listener,
            changing=changing,
            reps=reps,
            per_hour=settings.interrupts_per_hour,
            loops=loops,
            on_fatal=on_fatal,
        )
        self._started = False

    def routes(self) -> list[BaseRoute]:
        """What others call."""
        return self._slack.routes() if self._slack is not None else []

    def routers(self) -> list[APIRouter]:
        """The APIs."""
        return [
            channel_router(self.endpoints, self._clock),
            delivery_router(self.ledger, self._clock),
            preference_router(self.preferences),
        ]

    async def start(self) -> None:
        """Begin to plan and to send."""
        self._started = True
        await self._deliverer.start()
        await self._planner.start()

    async def stop(self, deadline_s: float) -> None:
        """Plan no more, let what is under way end."""
        if self._started:
            await self._planner.stop()
            await self._deliverer.stop(deadline_s)
        if self._slack is not None:
            await self._slack.stop()

    def ready(self) -> str | None:
        """None while deliveries are planned and sent, else what is wrong."""
        return self._planner.ready() or self._deliverer.ready()


class NotifyService:
    """Stage 4.

    Args:
        listener: Not started yet: we register our channels on it; whoever made it starts and stops it.
        publishable_key: Says whether a key is a live publishable source key. Ingest owns the sources.
        box: Opens the secrets of channels; without one there are no channels but inbox and site.
        reps: The directory's reps, as they are now.
        answer: Takes what reps answer in Slack. The router gives it to us; None in a process without one.
        beat_s: Seconds between the beats of a stream; None: the default, spread over the clients.
        on_fatal: Called when a loop has ended by a bug or on purpose: end the process.
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
        box: SecretBox | None = None,
        reps: Callable[[], Mapping[str, Rep]] = dict,
        answer: Answer | None = None,
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
        self._inbox_channel = InboxChannel(db, clock, listener, on_fatal)
        self._site_channel = SiteChannel(db, clock, listener, on_fatal)
        self.handler = NotifyHandler(
            db=db,
            clock=clock,
            collapse_s=settings.collapse_s,
            # A record may come again as long as the log keeps it; the margin covers clocks and dead letters.
            handled_days=settings.log_retention_days + 7,
            telling=self._inbox_channel.telling,
        )
        self._channels = (
            None
            if box is None
            else Channels(
                settings,
                db,
                listener,
                clock,
                box=box,
                reps=reps,
                inbox=self.inbox,
                answer=answer,
                loops=loops,
                on_fatal=on_fatal,
            )
        )
        topic = LEAD_ROUTED.name
        leases = Leases(db, STAGE, topic, log.partitions(topic), log.owner, clock, settings)
        self.consumer = Consumer(
            log, topic, STAGE, self.handler, db, leases, settings, loops, on_fatal=on_fatal, clock=clock
        )

    @property
    def preferences(self) -> Desk | None:
        """What each rep wants to hear, where and when; None in a process without channels."""
        return self._channels.preferences if self._channels is not None else None

    @property
    def endpoints(self) -> Endpoints | None:
        """The channels with a far side; None in a process without channels."""
        return self._channels.endpoints if self._channels is not None else None

    @property
    def ledger(self) -> Ledger | None:
        """What went out and what did not; None in a process without channels."""
        return self._channels.ledger if self._channels is not None else None

    def routes(self) -> list[BaseRoute]:
        """Plain routes: streams and the site's snippet."""
        return [
            inbox_stream(self._inbox_channel, self._beat_s),
            *site_routes(self._site_channel, self._publishable_key, self._beat_s),
            *(self._channels.routes() if self._channels is not None else ()),
        ]

    def routers(self) -> list[APIRouter]:
        """The other APIs."""
        more = self._channels.routers() if self._channels is not None else []
        return [inbox_router(self.inbox), slo_router(self._db, self._clock), *more]

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
            if self._channels is not None:
                await self._channels.start()

    async def stop(self, deadline_s: float) -> None:
        """Stop reading, then end the streams; the HTTP server may stop before or after."""
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline_s
        if self._consuming:
            await self.consumer.stop(deadline_s)
        if self._channels is not None:
            await self._channels.stop(max(CLOSING_S, min(5.0, until - loop.time())))
        await self._inbox_channel.stop()
        await self._site_channel.stop()

    async def ready(self) -> str | None:
        """None when notices are made and pushed, else what is missing."""
        problems: Sequence[str | None] = (
            self._inbox_channel.ready(),
            self._site_channel.ready(),
            self.consumer.ready(),
            self._channels.ready() if self._channels is not None else None,
        )
        return next((p for p in problems if p), None)
