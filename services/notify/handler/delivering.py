"""The queues of all endpoints in this process: opened, poked when something is due, closed, as endpoints come and go."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import asyncpg
import structlog
from prometheus_client import Gauge

from services.directory.core.people import Rep
from services.notify.channels.far import SEND_S, Endpoint, Kind, Links, Tools
from services.notify.channels.kinds import KINDS
from services.notify.core.delivery import INBOX
from services.notify.handler.ladder import Ladder
from services.notify.handler.queue import Around, EndpointQueue
from services.notify.store import deliveries
from services.notify.store.endpoints import CHANNEL, EndpointStore, Stored
from services.notify.store.plans import DELIVERY_CHANNEL
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import LeadRouterError, Unavailable
from services.runtime.health import Loops
from services.runtime.outgoing import Outgoing, dial
from services.runtime.settings import EVERYWHERE, Settings
from services.runtime.telemetry import REGISTRY
from services.runtime.watched import watched

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
LOOP: Final = "notify.deliverer"
# Endpoints are read again so often should a notification be lost; forgotten rows are looked for at the same time.
REFRESH_TICKS: Final = 10

DUE = Gauge("leadrouter_deliveries_due", "Deliveries that are due and not under way", ["endpoint"], registry=REGISTRY)
OLDEST = Gauge("leadrouter_deliveries_oldest_seconds", "Age of the oldest due one", ["endpoint"], registry=REGISTRY)
FAILING = Gauge(
    "leadrouter_endpoint_failing_seconds", "For how long an endpoint has only failed", ["endpoint"], registry=REGISTRY
)


def tools_of(settings: Settings) -> Tools:
    """What channels of this installation are made with."""

    def connect(url: str) -> Outgoing:
        return Outgoing(settings, url, call_s=15.0, by_operator=False)

    # Where we listen at every address, none of them is known to be the one by which people find us.
    own = "" if settings.host in EVERYWHERE else settings.local_url
    return Tools(connect, partial(dial, settings), Links(settings.public_url or own))


class Deliverer:
    """Sends due deliveries of all endpoints.

    Args:
        listener: Not started yet.
        reps: The directory's reps, as they are now.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        listener: Listener,
        store: EndpointStore,
        tools: Tools,
        *,
        reps: Callable[[], Mapping[str, Rep]],
        kinds: Mapping[str, Kind] = KINDS,
        draw: Callable[[], float] = random.random,
        loops: Loops | None = None,
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._store = store
        self._tools = tools
        self._kinds = kinds
        self._around = Around(db=db, clock=clock, reps=reps, draw=draw, on_fatal=on_fatal)
        self._loops = loops
        self._closing: set[asyncio.Task[None]] = set()
        self._queues: dict[str, EndpointQueue] = {}
        self._named: set[str] = set()
        self._ladder = Ladder(db, clock, reps)
        self._refresh = True
        self._ticks = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        listener.on(CHANNEL, self._changed)
        listener.on(DELIVERY_CHANNEL, self._due)

    async def start(self) -> None:
        """Open the endpoints and begin to send."""
        self._task = watched(self._run(), "notify deliverer", self._around.on_fatal)

    async def stop(self, deadline_s: float) -> None:
        """Let what is under way end, then close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await asyncio.gather(*(queue.stop(deadline_s) for queue in self._queues.values()))
        if self._closing:
            await asyncio.wait(self._closing, timeout=deadline_s)
        self._queues.clear()
        if self._loops is not None:
            self._loops.forget(LOOP)

    def ready(self) -> str | None:
        """None while deliveries are sent, else what is wrong."""
        return None if self._task is not None and not self._task.done() else "deliveries are not sent"

    def _changed(self, _payload: str) -> None:
        self._refresh = True
        self._wake.set()

    def _due(self, endpoint: str) -> None:
        for queue in self._queues.values() if not endpoint else filter(None, (self._queues.get(endpoint),)):
            queue.poke()
        if not endpoint or endpoint == INBOX or endpoint not in self._queues:
            self._wake.set()

    async def refresh(self) -> None:
        """Open what is new or has changed, close what is gone."""
        self._refresh = False
        stored = {one.id: one for one in await self._store.list() if one.kind in self._kinds}
        for gone in [id_ for id_, queue in self._queues.items() if not _same(queue.stored, stored.get(id_))]:
            queue = self._queues.pop(gone)
            _unseen(queue.stored.name, DUE, OLDEST)
            # In the background: a slow far side must not keep the others waiting.
            task = asyncio.create_task(queue.stop(SEND_S), name=f"closing {gone}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for one in stored.values():
            if one.enabled and one.id not in self._queues:
                await self._open(one)
        self._gauges(stored)

    def _gauges(self, stored: Mapping[str, Stored]) -> None:
        now = self._clock.now()
        for one in stored.values():
            FAILING.labels(one.name).set((now - one.failing_since).total_seconds() if one.failing_since else 0.0)
        named = {one.name for one in stored.values()}
        for name in self._named - named:
            _unseen(name, FAILING)
        self._named = named

    async def _open(self, one: Stored) -> None:
        kind = self._kinds[one.kind]
        try:
            secrets, before = await self._store.secrets(one.id)
            endpoint = Endpoint(
                id=one.id, name=one.name, kind=one.kind, options=one.options, secrets=secrets, before=before
            )
            channel = kind.open(endpoint, self._tools)
        except LeadRouterError as error:
            if isinstance(error, Unavailable):
                raise
            # One endpoint that cannot be opened (another secret key) does not stop the others.
            log.error("endpoint cannot be opened", endpoint=one.name, error=error.message)
            return
        queue = self._queues[one.id] = EndpointQueue(one, kind, channel, self._around)
        queue.start()
        queue.poke()

    async def tick(self) -> None:
        """Look once for changed endpoints and due deliveries."""
        if self._refresh or self._ticks % REFRESH_TICKS == 0:
            await self.refresh()
        now = self._clock.now()
        async with self._db.raw() as pg:
            if self._ticks % REFRESH_TICKS == 0:
                await deliveries.tidy(pg, now)
            due = await deliveries.due(pg, now)
        self._ticks += 1
        for endpoint, queue in self._queues.items():
            count, oldest = due.get(endpoint, (0, now))
            DUE.labels(queue.stored.name).set(count)
            OLDEST.labels(queue.stored.name).set(max(0.0, (now - oldest).total_seconds()))
            if count:
                queue.poke()
        if INBOX in due:
            await self._ladder.turn()

    async def _run(self) -> None:
        while True:
            if self._loops is not None:
                self._loops.beat(LOOP)
            try:
                await self.tick()
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("deliveries are looked for later", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), TICK_S)
            self._wake.clear()


def _same(before: Stored, now: Stored | None) -> bool:
    return now is not None and now.enabled and now.version == before.version


def _unseen(name: str, *gauges: Gauge) -> None:
    """An endpoint that is gone neither waits nor fails any more: its last numbers would stand for ever."""
    for gauge in gauges:
        with contextlib.suppress(KeyError):
            gauge.remove(name)
