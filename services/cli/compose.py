"""What a process is made of: settings → database → rooms → stages → HTTP application. Nothing is built at import."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import structlog
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from schemas.topics import STAGES, StageName
from services.cli.first_start import demo_site_key
from services.console.api import console_routes
from services.console.rooms import ConsoleRooms
from services.console.trial_api import trial_router
from services.directory.api import BODY_LIMITS, directory_router
from services.directory.own import OwnAvailability, own_router
from services.directory.rows import DirectoryStore
from services.directory.store import DirectoryCache
from services.eventlog.api import log_router
from services.eventlog.open import open_log
from services.eventlog.ports import Log
from services.ingest.service import IngestService
from services.notify.api.slack import Answer, LeadAnswer
from services.notify.service import NotifyService
from services.notify.store.erased import has_handled
from services.policy.api import policy_router
from services.policy.cache import PolicyCache
from services.policy.core.lint import Known
from services.policy.store import PolicyStore
from services.policy.sweeping import sweep_router
from services.router.commands.effects import SOURCE as ROUTER
from services.router.core.claim import Asked
from services.router.service import RouterService
from services.router.store.erased import has_forgotten, last_word
from services.runtime.access import Access
from services.runtime.access_api import access_router
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener, retrying
from services.runtime.embedded import EmbeddedPostgres, running_url
from services.runtime.errors import Misconfigured, Unavailable
from services.runtime.health import Loops, health_routes
from services.runtime.http import make_app
from services.runtime.secretbox import open_secret_box
from services.runtime.settings import Settings
from services.scoring.service import ScoringService
from services.scoring.store.sweep import SweepStore

log = structlog.get_logger(__name__)

# A database or broker that is still starting (compose, a rebooting machine) gets this long at our own start.
PATIENCE_S: Final = 60.0
Mode = Literal["up", "api", "ingest", "scoring", "router", "notify"]


class Service(Protocol):
    """A stage as the composition sees it."""

    @property
    def name(self) -> str:
        """Its name in the flow."""
        ...

    def routes(self) -> Sequence[BaseRoute]:
        """Its plain routes: the hot ones."""
        ...

    def routers(self) -> Sequence[APIRouter]:
        """Its other APIs."""
        ...

    async def start(self, *, consume: bool = True) -> None:
        """Begin; without `consume` only the HTTP doors work."""
        ...

    async def stop(self, deadline_s: float) -> None:
        """Finish what is under way."""
        ...

    async def ready(self) -> str | None:
        """None when it takes events, else what is missing."""
        ...


@dataclass(frozen=True)
class Rooms:
    """What several stages need."""

    settings: Settings
    db: Database
    listener: Listener
    log: Log
    policies: PolicyCache
    policy_store: PolicyStore
    directory: DirectoryCache
    directory_store: DirectoryStore
    access: Access
    clock: SystemClock
    loops: Loops


def consumes(mode: Mode) -> tuple[StageName, ...]:
    """Which stages a process of this mode works for."""
    if mode == "up":
        return STAGES
    return tuple(stage for stage in STAGES if stage == mode)


def shows(mode: Mode) -> tuple[StageName, ...]:
    """Whose HTTP doors a process of this mode opens: `api` opens all of them and consumes nothing."""
    return STAGES if mode in ("up", "api") else consumes(mode)


@contextlib.asynccontextmanager
async def database(
    settings: Settings, *, beside: bool = False, on_gone: Callable[[str], None] | None = None
) -> AsyncIterator[Database]:
    """The database of the settings: PostgreSQL elsewhere, or the embedded one, started and stopped here.

    Args:
        beside: Use the embedded one of a lead-router that already runs on this data folder, if there is one.
        on_gone: Called with words when the embedded one has ended for good.
    """
    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        elif beside and (running := running_url(settings.data_dir)):
            url = running
        else:
            if settings.environment == "production":
                msg = "LEAD_ROUTER_ENVIRONMENT=production needs LEAD_ROUTER_DATABASE_URL: the embedded PostgreSQL is for local use"
                raise Misconfigured(msg)
            embedded = EmbeddedPostgres(settings.data_dir, bin_dir=settings.pg_bin, on_gone=on_gone)
            url = await embedded.start()
            stack.push_async_callback(embedded.stop)
        db = Database(url, pool_size=settings.pool_size, statement_timeout_s=settings.statement_timeout_s)
        stack.push_async_callback(db.close)

        async def answers() -> None:
            await (await db.connect()).close()

        await retrying(answers, seconds=PATIENCE_S if settings.environment == "production" else 5.0)
        yield db


@contextlib.asynccontextmanager
async def rooms(settings: Settings, db: Database, mode: Mode) -> AsyncIterator[Rooms]:
    """Everything below the stages, open and started."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        listener = Listener(db)
        policies = PolicyCache(db, listener, clock)
        directory = DirectoryCache(db, listener)
        access = Access(db, clock, listener)
        opened = open_log(settings, db, listener)
        stack.push_async_callback(opened.close)
        try:
            await retrying(opened.ensure_topics, seconds=_patience(settings, mode))
        except Unavailable as error:
            if mode != "ingest":
                raise
            # Events can be taken without the log: they wait in the spool. Some senders never send again.
            log.warning("taking events without the log", reason=error.message)
            later = asyncio.create_task(_topics_later(opened), name="topics later")
            stack.push_async_callback(_ended, later)
        await policies.start()
        stack.push_async_callback(policies.stop)
        await directory.start()
        stack.push_async_callback(directory.stop)
        yield Rooms(
            settings=settings,
            db=db,
            listener=listener,
            log=opened,
            policies=policies,
            policy_store=PolicyStore(db),
            directory=directory,
            directory_store=DirectoryStore(db),
            access=access,
            clock=clock,
            loops=Loops(clock, settings.watchdog_s),
        )


def _patience(settings: Settings, mode: Mode) -> float:
    if mode == "ingest":
        return 5.0
    return PATIENCE_S if settings.environment == "production" else 20.0


async def _topics_later(opened: Log) -> None:
    while True:
        with contextlib.suppress(Unavailable):
            await opened.ensure_topics()
            log.info("the log is back: topics are there")
            return
        await asyncio.sleep(1)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def stages(have: Rooms, which: Sequence[StageName], on_fatal: Callable[[Exception], None]) -> list[Service]:
    """The stages asked for, built but not started. The last in the flow is started first, so that nothing waits."""
    box = open_secret_box(have.settings)
    ingest = IngestService(
        settings=have.settings,
        db=have.db,
        listener=have.listener,
        log=have.log,
        policies=have.policies,
        access=have.access,
        clock=have.clock,
        loops=have.loops,
        box=box,
    )
    common: dict[str, Any] = {
        "settings": have.settings,
        "db": have.db,
        "listener": have.listener,
        "log": have.log,
        "clock": have.clock,
        "loops": have.loops,
        "on_fatal": on_fatal,
    }
    rules: dict[str, Any] = {"policies": have.policies, "directory": have.directory, "access": have.access}
    router = RouterService(**common, **rules)
    notify = NotifyService(
        **common,
        publishable_key=ingest.publishable_key,
        box=box,
        reps=lambda: have.directory.view.reps,
        answer=_answers(router) if "router" in which else None,
    )
    built: dict[StageName, Service] = {
        "notify": notify,
        "router": router,
        "scoring": ScoringService(**common, **rules, elsewhere=ingest.forget, everywhere=_forgotten(have.db)),
        "ingest": ingest,
    }
    return [service for name, service in built.items() if name in which]


def _answers(router: RouterService) -> Answer:
    """What reps answer in Slack, as the router takes it: an offer is answered by the rep who has it, whoever presses."""

    async def give(asked: LeadAnswer) -> None:
        await router.answers.give(
            asked.lead_id,
            Asked(
                command=asked.command,
                assignment_id=asked.assignment_id,
                gen=asked.gen,
                rep=asked.rep,
                reason=asked.reason,
                until=asked.until,
            ),
            lambda _lead: True,  # the button was ours: whoever sees it was told of the lead
        )

    return give


def _forgotten(db: Database) -> Callable[[Sequence[tuple[str, int]]], Awaitable[bool]]:
    """Whether the stages after scoring have forgotten leads, too; ingest forgets in scoring's own transaction."""

    async def everywhere(leads: Sequence[tuple[str, int]]) -> bool:
        said = [last_word(lead, version) for lead, version in leads]
        return await has_forgotten(db, leads) and await has_handled(db, ROUTER, said)

    return everywhere


def application(have: Rooms, built: Sequence[Service]) -> FastAPI:
    """The HTTP application of a process that has these stages."""
    console = _console(have, built)
    pages = console_routes(console) if console is not None else []
    trials = [trial_router(console)] if console is not None else []
    return make_app(
        routes=[*health_routes(have.loops), *(r for s in built for r in s.routes()), *pages],
        routers=[*(r for s in built for r in s.routers()), *_room_routers(have), *trials],
        access=have.access,
        body_max_bytes=have.settings.body_max_bytes,
        body_limits=BODY_LIMITS,
        public_url=have.settings.public_url,
    )


def _room_routers(have: Rooms) -> list[APIRouter]:
    return [
        access_router(have.access),
        log_router(have.db, have.log),
        policy_router(have.policies, have.policy_store, lambda: _known(have.directory)),
        sweep_router(have.policies, have.policy_store, SweepStore(have.db)),
        directory_router(have.directory, have.directory_store),
        own_router(OwnAvailability(have.directory, have.directory_store, have.clock)),
    ]


def _known(directory: DirectoryCache) -> Known:
    view = directory.view
    industries = frozenset(a.industry for a in view.accounts if a.industry)
    return Known(pools=frozenset(view.pools), industries=industries)


def _console(have: Rooms, built: Sequence[Service]) -> ConsoleRooms | None:
    """What the console asks: only a process that has all stages shows it."""
    ingest = next((s for s in built if isinstance(s, IngestService)), None)
    notify = next((s for s in built if isinstance(s, NotifyService)), None)
    router = next((s for s in built if isinstance(s, RouterService)), None)
    scoring = next((s for s in built if isinstance(s, ScoringService)), None)
    if ingest is None or notify is None or router is None or scoring is None:
        return None

    async def demo_key() -> str | None:
        # Whatever stands in the setting: a key that is not publishable is never shown.
        key = demo_site_key(have.settings)
        return key if key is not None and await ingest.publishable_key(key) else None

    return ConsoleRooms(
        access=have.access,
        clock=have.clock,
        db=have.db,
        log=have.log,
        loops=have.loops,
        ingest=ingest,
        notify=notify,
        router=router,
        scoring=scoring,
        directory=have.directory,
        directory_store=have.directory_store,
        policies=have.policies,
        policy_store=have.policy_store,
        demo_key=demo_key,
    )
