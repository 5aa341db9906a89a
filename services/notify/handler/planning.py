"""Plans deliveries off the hot path: reads inboxes behind a cursor, as streams do, woken by the same notifications.

A planner transaction locks some reps, reads their changed notices, decides (core/plan.py), writes the rows and moves the
cursors: effect once, however many processes plan and wherever one is killed.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Final

import asyncpg
import structlog

from services.directory.core.people import Rep
from services.eventlog.ports import Connection
from services.notify.core.plan import Desk, plan
from services.notify.core.preference import Preferences, layered
from services.notify.store import plans, preferences
from services.notify.store.notices import INBOX_CHANNEL
from services.notify.store.preferences import EVERYBODY
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable
from services.runtime.health import Loops
from services.runtime.watched import watched

log = structlog.get_logger(__name__)

REPS: Final = 20
POLL_S: Final = 2.0
# Notices come in batches: what follows within this joins the same turn.
GATHER_S: Final = 0.02
LOOP: Final = "notify.planner"
PLANNED: Final = crash.step("notify.planned", "deliveries are planned, the commit is next")


class Planner:
    """Makes deliveries of changed notices.

    Args:
        changing: The kinds of channels that can tell what became of a message.
        reps: The directory's reps, as they are now.
        per_hour: Interruptions in an hour for reps who have said nothing.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        listener: Listener,
        *,
        changing: Collection[str],
        reps: Callable[[], Mapping[str, Rep]],
        per_hour: int,
        loops: Loops | None = None,
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        self._db = db
        self._clock = clock
        self._changing = changing
        self._reps = reps
        self._per_hour = per_hour
        self._loops = loops
        self._on_fatal = on_fatal
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._wanted = False
        listener.on(INBOX_CHANNEL, self._notified)

    def _notified(self, _rep: str) -> None:
        # Without any endpoint nobody waits for a plan: the poll moves the cursors.
        if self._wanted:
            self._wake.set()

    async def start(self) -> None:
        """Begin to plan."""
        self._wake.set()
        self._task = watched(self._run(), "notify planner", self._on_fatal)

    async def stop(self) -> None:
        """Stop; what is not planned waits behind the cursors."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._loops is not None:
            self._loops.forget(LOOP)

    def ready(self) -> str | None:
        """None while deliveries are planned, else what is wrong."""
        return None if self._task is not None and not self._task.done() else "the planner of deliveries does not run"

    async def turn(self) -> int:
        """Plan whatever has changed, until nothing has; returns how many rows were made."""
        made = 0
        while True:
            self._beat()
            reps, rows = await self._some()
            made += rows
            if reps < REPS:
                return made

    def _beat(self) -> None:
        if self._loops is not None:
            self._loops.beat(LOOP)

    async def _some(self) -> tuple[int, int]:
        now = self._clock.now()
        async with self._db.transaction() as pg:
            claimed = await plans.claim(pg, REPS)
            if not claimed:
                return 0, 0
            desks = await self._desks(pg, claimed)
            before = await plans.known(pg, [n.id for one in claimed for n, _ in one.changed])
            for one, desk in zip(claimed, desks, strict=True):
                for notice, delivered in one.changed:
                    plan(desk, notice, before.get(notice.id, ()), delivered=delivered, now=now)
            planned = [row for desk in desks for row in desk.planned]
            await plans.save(pg, planned, now)
            await plans.advance(pg, [(one, desk.interrupts) for one, desk in zip(claimed, desks, strict=True)])
            crash.reach(PLANNED)
        return len(claimed), len(planned)

    async def _desks(self, pg: Connection, claimed: list[plans.Claimed]) -> list[Desk]:
        names = [one.rep for one in claimed]
        said = await preferences.load(pg, names)
        digests = await plans.digests(pg, names)
        # Read here, not remembered: a cursor must not move past what a new endpoint was to be told.
        endpoints, reps = await plans.endpoints(pg, self._changing), self._reps()
        desks = []
        for one in claimed:
            prefs = layered(said.get(EVERYBODY, Preferences()), said.get(one.rep, Preferences()))
            desks.append(
                Desk(
                    id=one.rep,
                    rep=reps.get(one.rep),
                    prefs=prefs,
                    per_hour=prefs.interrupts_per_hour or self._per_hour,
                    endpoints=endpoints,
                    interrupts=one.interrupts,
                    digests=digests.get(one.rep, {}),
                )
            )
        return desks

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
                await asyncio.sleep(GATHER_S)
            self._wake.clear()
            self._beat()
            try:
                self._wanted = await plans.wanted(self._db)
                if self._wanted:
                    await self.turn()
                else:
                    await plans.skip_all(self._db)
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("deliveries are planned later", error=str(error))
                await asyncio.sleep(0.5)
