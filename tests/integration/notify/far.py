"""Notify's channels as they run, without the log: notices are put into inboxes as the stage puts them."""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services.directory.core.people import Rep
from services.notify.channels.kinds import KINDS
from services.notify.core.message import Needs
from services.notify.core.notice import Notice, ShownAccount, ShownAssignment, ShownLead, ShownSay, ShownWhat
from services.notify.handler.delivering import Deliverer, tools_of
from services.notify.handler.endpoints import Draft, Endpoints
from services.notify.handler.ladder import NO_FENCE
from services.notify.handler.planning import Planner
from services.notify.store import batch
from services.notify.store.endpoints import EndpointStore
from services.runtime.clock import Clock, FixedClock, SystemClock
from services.runtime.db import Database, Listener
from services.runtime.secretbox import SecretBox
from services.runtime.settings import Settings

ANNA = Rep(id="anna", name="Anna Aalto", email="anna@aurora.example", timezone="Europe/Helsinki", manager="maria")
BEN = Rep(id="ben", name="Ben Berg", email="ben@aurora.example", timezone="Europe/Stockholm", manager="maria")
MARIA = Rep(id="maria", name="Maria Mäki", email="maria@aurora.example")
KEY = b"k" * 32
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def notice(clock: Clock, kind: str = "handover", rep: str = "anna", **more: Any) -> Notice:
    """A notice as the stage makes it."""
    now = clock.now()
    made = Notice(
        id=secrets.token_hex(16),
        rep=rep,
        kind=kind,  # type: ignore[arg-type]
        lead=ShownLead(
            id=secrets.token_hex(16), email="vera@nordwind.example", name="Vera Virta", title="VP Operations"
        ),
        account=ShownAccount(domain="nordwind.example", name="Nordwind Industries Oyj"),
        what=[
            ShownWhat(signal="page.viewed", at=now, url="https://aurora.example/pricing", event_id=secrets.token_hex(4))
        ],
        happened=1,
        why="Named account, identified.",
        say=ShownSay(subject="Hello", body="Hi Vera"),
        segment="enterprise",
        created_at=now,
        updated_at=now,
    )
    if kind == "handover":
        made.assignment = ShownAssignment(id=secrets.token_hex(16), gen=1, state="offered")
    if kind in ("visiting_now", "opened", "clicked"):
        made.fresh_until = now + timedelta(seconds=120)
    made.leads = [made.lead.id]
    return msgspec.structs.replace(made, **more)


async def put(db: Database, *changed: Notice) -> None:
    """Store notices, new or changed, as the stage does."""
    async with db.transaction() as pg:
        needs = Needs(frozenset(n.rep for n in changed), frozenset(), frozenset(), frozenset())
        seen = await batch.look(pg, [], needs, changed[0].created_at, 0.0, hold=True)
        for one in changed:
            seen.desks[one.rep].put(one)
        await batch.write(pg, NO_FENCE, batch.write_of(seen, [], [], [], changed[0].created_at))


@dataclass
class Rig:
    """One process of notify, as far as channels go."""

    db: Database
    clock: Clock = field(default_factory=SystemClock)
    people: dict[str, Rep] = field(default_factory=lambda: {r.id: r for r in (ANNA, BEN, MARIA)})
    per_hour: int = 12
    draw: float = 0.0

    def __post_init__(self) -> None:
        self.settings = Settings(outgoing_networks="127.0.0.0/8", public_url="https://leads.aurora.example")
        self.listener = Listener(self.db)
        self.store = EndpointStore(self.db, SecretBox(KEY))
        self.tools = tools_of(self.settings)
        self.endpoints = Endpoints(self.store, self.tools, self.clock)
        self.deliverer = Deliverer(
            self.db, self.clock, self.listener, self.store, self.tools, reps=lambda: self.people, draw=lambda: self.draw
        )
        self.planner = Planner(
            self.db,
            self.clock,
            self.listener,
            changing={name for name, kind in KINDS.items() if kind.changes},
            reps=lambda: self.people,
            per_hour=self.per_hour,
        )

    async def add(self, kind: str = "webhook", **more: Any) -> str:
        """A new endpoint; its id. Options and secrets are named as the kind names them."""
        fields = {f.name for f in KINDS[kind].fields}
        values = {k: v for k, v in more.items() if k in fields}
        rest = {k: v for k, v in more.items() if k not in fields}
        made, _ = await self.endpoints.add(
            Draft(name=rest.pop("name", secrets.token_hex(4)), kind=kind, values=values, **rest)
        )
        await self.deliverer.refresh()
        return made.id

    async def start(self) -> "Rig":
        """Run, as the service does."""
        await self.listener.start()
        await self.deliverer.start()
        await self.planner.start()
        return self

    async def stop(self) -> None:
        """Stop, as the service does."""
        await self.planner.stop()
        await self.deliverer.stop(2)
        await self.listener.stop()

    async def work(self) -> None:
        """Plan and send by hand until nothing is due at the clock's time: for clocks that stand."""
        await self.planner.turn()
        await self.deliverer.refresh()
        for _ in range(400):
            if isinstance(self.clock, FixedClock):
                self.clock.at += timedelta(milliseconds=20)  # rates are per time
            await self.deliverer.tick()
            await asyncio.sleep(0.01)
            async with self.db.raw() as pg:
                busy = await pg.fetchval(
                    "SELECT count(*) FROM notify.delivery d LEFT JOIN notify.endpoint e ON e.id = d.endpoint"
                    " WHERE d.state = 'due' AND (d.taken_until IS NOT NULL OR d.due_at <= $1"
                    "   AND (e.id IS NULL OR e.enabled AND (e.pause_until IS NULL OR e.pause_until <= $1)))",
                    self.clock.now(),
                )
            if not busy:
                return
        raise AssertionError("deliveries do not come to rest")

    async def rows(self, where: str = "true") -> list[dict]:
        """Deliveries, in the order of their making."""
        async with self.db.raw() as pg:
            found = await pg.fetch(f"SELECT * FROM notify.delivery WHERE {where} ORDER BY created_at, due_at, id")
        return [dict(row) for row in found]

    async def settled(self, count: int, seconds: float = 10.0) -> list[dict]:
        """Wait until `count` deliveries have an end."""
        async with asyncio.timeout(seconds):
            while True:
                rows = await self.rows("state NOT IN ('due', 'held')")
                if len(rows) >= count:
                    return rows
                await asyncio.sleep(0.03)


@contextlib.asynccontextmanager
async def running(rig: Rig):
    """Started, and stopped at the end."""
    await rig.start()
    try:
        yield rig
    finally:
        await rig.stop()
