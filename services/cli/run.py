"""Runs a process: makes its parts, starts them, waits for a signal, stops them.

The order matters and is the same everywhere: what is started later is stopped earlier.
"""

import asyncio
import contextlib
import gc
import signal
from contextlib import AsyncExitStack
from typing import Final

import structlog
from rich.console import Console

from services.cli.compose import Mode, Rooms, Service, application, consumes, database, rooms, shows, stages
from services.cli.first_start import First, first_start
from services.cli.screen import show_ready
from services.eventlog.lease import expire_all
from services.migrations.run import migrate
from services.runtime import crash
from services.runtime.errors import Misconfigured, Unavailable
from services.runtime.health import Loops, Watchdog
from services.runtime.http import Server
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

EXIT_SOFTWARE: Final = 70  # sysexits.h: an internal fault, start me again
EXIT_MISCONFIGURED: Final = 78  # sysexits.h EX_CONFIG: starting again will not help
# Enough to roll back and give leases back: also for those whose turn comes when the time is over.
LAST_S: Final = 0.5


class Ending:
    """Why and when this process ends: a signal, or a stage that must not go on."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.code = 0
        self._until: float | None = None

    def left_s(self, whole_s: float) -> float:
        """What is left of the `whole_s` seconds in which the whole process ends, from the first time this is asked."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + whole_s
        return max(LAST_S, self._until - now)

    def fatal(self, error: Exception) -> None:
        """A stage has met a bug or a wrong position: nothing more is committed; the supervisor starts us again."""
        log.error("a stage has ended: stopping the process", error=str(error), kind=type(error).__name__)
        self.code = EXIT_MISCONFIGURED if isinstance(error, Misconfigured) else EXIT_SOFTWARE
        self.stop.set()

    def database_gone(self, words: str) -> None:
        """The embedded database has ended again and again: without it there is nothing to do."""
        self.fatal(Unavailable(words, code="database_away"))


async def run(settings: Settings, mode: Mode) -> int:
    """Run until SIGTERM or SIGINT; 0 after a clean stop.

    Raises:
        Misconfigured: A setting is wrong; the message says which and how to mend it.
    """
    crash.arm(settings.crash_at)
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.stop.set)
    async with database(settings, on_gone=ending.database_gone) as db, AsyncExitStack() as stack:
        if mode == "up" or settings.environment == "local":
            await migrate(db)
        if mode == "up" and settings.database_url is None:
            # The data folder's lock says that we are alone: leases left by a killed run need not be waited for.
            await expire_all(db)
        have = await stack.enter_async_context(rooms(settings, db, mode))
        await _work(have, mode, ending, stack)
    log.info("stopped", mode=mode)
    return ending.code


async def _work(have: Rooms, mode: Mode, ending: Ending, stack: AsyncExitStack) -> None:
    settings = have.settings
    working = consumes(mode)
    built = stages(have, shows(mode), ending.fatal)
    server = Server(application(have, built), settings.host, settings.port, trusted_proxies=settings.trusted_proxies)
    url = settings.local_url
    # The port first: a taken port must stop us before anything is consumed.
    await server.start()

    async def stop_server() -> None:
        await server.stop(min(settings.shutdown_s / 2, ending.left_s(settings.shutdown_s)))

    async def stop_service(service: Service) -> None:
        await service.stop(ending.left_s(settings.shutdown_s))

    stack.push_async_callback(stop_server)
    # Channels are registered by now: every room and stage has been built.
    await have.listener.start()
    stack.push_async_callback(have.listener.stop)
    first = First(access=None, seeded=False)
    if mode == "up":
        first = await first_start(
            settings, db=have.db, access=have.access, policies=have.policy_store, directory=have.directory, url=url
        )
        await have.policies.refresh()
    for service in built:
        have.loops.check(service.name, service.ready)
        await service.start(consume=service.name in working)
        stack.push_async_callback(stop_service, service)
    have.loops.check("log", have.log.healthy)
    have.loops.started()
    watchdog = Watchdog(have.loops, have.clock)
    await watchdog.start()
    stack.push_async_callback(watchdog.stop)
    await _until_ready(have.loops, ending.stop)
    _calm_garbage_collector()
    if not ending.stop.is_set():
        _say_ready(settings, mode, url, first)
    await ending.stop.wait()
    log.info("stopping", mode=mode)


def _calm_garbage_collector() -> None:
    # What start-up made lives as long as we do: never look at it again. Batches make many short-lived objects and no
    # cycles; with the default of 700 the collector takes a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _until_ready(loops: Loops, stop: asyncio.Event) -> None:
    """Wait until every stage takes events; say once a while what is still missing."""
    waited = 0
    while not stop.is_set() and (missing := await loops.unready()):
        waited += 1
        if waited % 50 == 0:
            log.warning("not ready yet", missing=missing)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.1)


def _say_ready(settings: Settings, mode: Mode, url: str, first: First) -> None:
    kind = f"Kafka at {settings.kafka}" if settings.kafka else "log in PostgreSQL"
    log.info("ready", mode=mode, url=url, log=kind)
    show_ready(
        Console(),
        url=url,
        mode=mode,
        log_kind=kind,
        access=first.access,
        seeded=first.seeded,
        data_dir=str(settings.data_dir),
    )
