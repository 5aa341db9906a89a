"""The stage `scoring`, put together: log → handler → counters, links, leads → log.

Reads: the topics `tracking.events` and `lead.outcomes`. Writes: the topic `lead.scored`. Owns: the PostgreSQL schema
`scoring`.
"""

import gc
from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from fastapi import APIRouter
from starlette.routing import BaseRoute

from schemas.topics import LEAD_OUTCOMES, TRACKING_EVENTS, StageName
from services.directory.store import DirectoryCache
from services.eventlog.consume import Consumer
from services.eventlog.lease import Leases
from services.eventlog.ports import Log
from services.policy.cache import PolicyCache
from services.runtime.access import Access
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import Misconfigured
from services.runtime.health import Loops
from services.runtime.settings import Settings
from services.scoring.api import people_router
from services.scoring.core.egress import Relays
from services.scoring.core.traps import trap_of
from services.scoring.handler.events import ScoringHandler
from services.scoring.handler.forget import Elsewhere
from services.scoring.handler.outcomes import OutcomesHandler
from services.scoring.handler.sweep import Sweeper
from services.scoring.store.erase import CHANNEL
from services.scoring.store.metrics import Meters
from services.scoring.store.people import Everywhere, PeopleStore
from services.scoring.store.split import Splitter

STAGE: Final[StageName] = "scoring"
LANE: Final = "batch"
API_LANE: Final = "api"


class ScoringService:
    """Stage 2.

    Args:
        listener: Not started yet: we register our channel on it; whoever made it starts and stops it.
        policies, directory: Started by whoever made them, before us.
        access: Unused here, the API finds it in the app.
        on_fatal: Called when a reading loop has ended by a bug or on purpose: end the process.
        elsewhere: Forgets a person who asks for it where other rooms keep something of theirs.
        everywhere: Whether the stages after us have forgotten leads too.
    """

    name: StageName = STAGE

    def __init__(
        self,
        *,
        settings: Settings,
        db: Database,
        listener: Listener,
        log: Log,
        policies: PolicyCache,
        directory: DirectoryCache,
        clock: Clock,
        loops: Loops,
        access: Access | None = None,
        on_fatal: Callable[[Exception], None] | None = None,
        elsewhere: Elsewhere | None = None,
        everywhere: Everywhere | None = None,
    ) -> None:
        del access
        self.people = PeopleStore(db, everywhere)
        self._policies = policies
        self._directory = directory
        self._writer = log.writer()
        self._clock = clock
        self._consuming = False
        relay, trap = evidence_of(settings)
        self.handler = ScoringHandler(
            db=db,
            settings=settings,
            policies=policies,
            directory=directory,
            clock=clock,
            meters=Meters(),
            relay=relay,
            trap=trap,
            elsewhere=elsewhere,
        )
        self.outbox = self.handler.outbox = log.outbox(STAGE, LANE, self.handler.encode)
        aside = log.outbox(STAGE, API_LANE)
        self.splitter = Splitter(db, aside, clock, self.handler.encode, self._account_of)
        listener.on(CHANNEL, self.handler.suppressed_changed)

        def leased(topic: str) -> Leases:
            return Leases(db, STAGE, topic, log.partitions(topic), log.owner, clock, settings)

        def consumer(topic: str, handler: Any, leases: Leases, **more: Any) -> Consumer[Any]:
            return Consumer(
                log, topic, STAGE, handler, db, leases, settings, loops, on_fatal=on_fatal, clock=clock, **more
            )

        events = leased(TRACKING_EVENTS.name)
        self.consumer = consumer(TRACKING_EVENTS.name, self.handler, events, outbox=self.outbox, depth=2)
        self.outcomes = consumer(LEAD_OUTCOMES.name, OutcomesHandler(db), leased(LEAD_OUTCOMES.name))
        self.sweeper = Sweeper(
            db, STAGE, TRACKING_EVENTS.name, events, aside, policies, directory, clock, settings.sweep_leads_per_s
        )

    def routes(self) -> list[BaseRoute]:
        """No plain routes."""
        return []

    def routers(self) -> list[APIRouter]:
        """The API of people."""
        return [people_router(self.people, self.splitter, self._writer, self._clock)]

    def _account_of(self, email: str) -> str | None:
        found = self._directory.view.match(email=email)
        return found.account.domain if found else None

    async def start(self, *, consume: bool = True) -> None:
        """Make the partitions of the events, then begin to read.

        Args:
            consume: False in a process that only shows APIs.
        """
        if not consume:
            return
        await self.handler.keep_partitions()
        self._consuming = True
        # The collector would walk the cache again and again: 13 % of a busy worker. The handler collects by itself.
        gc.collect()
        gc.freeze()
        gc.disable()
        await self.consumer.start()
        await self.outcomes.start()
        self.sweeper.start()

    async def stop(self, deadline_s: float) -> None:
        """Finish the batch under way and give back the partitions."""
        if self._consuming:
            self._consuming = False
            gc.enable()
            gc.unfreeze()
            await self.sweeper.stop()
            await self.consumer.stop(deadline_s)
            await self.outcomes.stop(deadline_s)
        await self.handler.close()

    async def ready(self) -> str | None:
        """None when events are scored, else what is missing."""
        if not self._consuming:
            return None
        return self._policies.ready or self.consumer.ready() or self.outcomes.ready()


def evidence_of(settings: Settings) -> tuple[Callable[[str], bool], Callable[[str], bool] | None]:
    """Whether an address is one of Apple's relays, and whether a link is one that people cannot see.

    Raises:
        Misconfigured: The file of networks or the list of links cannot be used.
    """
    own = settings.apple_egress_file
    try:
        text = own.read_text() if own else (resources.files("services.scoring") / "data/apple_egress.txt").read_text()
        relays = Relays(text)
    except (OSError, ValueError) as error:
        msg = f"LEAD_ROUTER_APPLE_EGRESS_FILE cannot be used: {error}"
        raise Misconfigured(msg) from error
    try:
        return relays.holds, trap_of(settings.honeypot_links)
    except ValueError as error:
        msg = f"LEAD_ROUTER_HONEYPOT_LINKS cannot be used: {error}"
        raise Misconfigured(msg) from error
