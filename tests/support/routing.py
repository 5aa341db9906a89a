"""Parts for tests of the router: the example company, snapshots as scoring makes them, and a room to decide in."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from schemas.codec import CloudEvent, Message, encode, outcome_decoder, routed_decoder
from schemas.messages import AccountRef, Cause, CurvePart, Fit, LeadOutcome, LeadRouted, LeadScored, PersonRef
from schemas.topics import LEAD_OUTCOMES, LEAD_ROUTED, LEAD_SCORED
from services.directory.core.accounts_csv import parse_accounts
from services.directory.core.match import DirectoryView, reference
from services.directory.core.people import Account, Pool, Rep
from services.directory.core.team_yaml import parse_team
from services.eventlog.open import open_log
from services.eventlog.ports import Batch, Log, Record
from services.policy.core.compile import compile_policy
from services.policy.core.policy import Policy
from services.router.api import Leads
from services.router.commands.answers import Answers
from services.router.handler import RouterHandler
from services.router.service import RouterService
from services.runtime.clock import FixedClock, SystemClock
from services.runtime.db import Database, Listener
from services.runtime.health import Loops
from services.runtime.settings import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
HEX = 16


def hex_of(*parts: object) -> str:
    return blake2b("|".join(map(str, parts)).encode(), digest_size=HEX).hexdigest()


@lru_cache
def example_policy() -> Policy:
    return compile_policy((EXAMPLES / "policy.yaml").read_text(), 1)


@lru_cache
def example_view() -> DirectoryView:
    team = parse_team((EXAMPLES / "team.yaml").read_text(), {})
    reps: dict[str, Rep] = {row.id: Rep(id=row.id, absences=row.absences, **row.values) for row in team.reps}
    sheet = parse_accounts((EXAMPLES / "accounts.csv").read_bytes(), reps)
    return DirectoryView([Account(domain=row.domain, **row.values) for row in sheet.rows], reps.values(), team.pools, 1)


def with_people(view: DirectoryView, *, pools: Sequence[Pool] = (), **reps: Mapping[str, Any]) -> DirectoryView:
    """The view with some reps changed."""
    people = {**view.reps}
    for rep_id, fields in reps.items():
        people[rep_id] = msgspec.structs.replace(people[rep_id], **fields)
    return DirectoryView(view.accounts, people.values(), pools or view.pools.values(), view.version + 1)


def cause(name: str, signal: str = "page.viewed", at: datetime = NOW, **more: Any) -> Cause:
    values: dict[str, Any] = {"received_at": at, "actor": "human", **more}
    return Cause(event_id=hex_of("event", name), signal=signal, occurred_at=at, **values)


class Person:
    """Makes the messages that scoring would send of one person."""

    def __init__(
        self,
        email: str | None,
        *,
        view: DirectoryView | None = None,
        grade: str | None = "A",
        role: str | None = "decision_maker",
        function: str | None = "marketing",
        level: str | None = "head",
        domain: str | None = None,
    ) -> None:
        view = view or example_view()
        self.email = email
        where = domain or (email.split("@")[1] if email else None)
        account = view.account(where) if where else None
        self.account: AccountRef | None = reference(account, "email") if account else None
        self.id = hex_of("lead", email or domain)
        self.grade = grade
        self.person = PersonRef(
            email=email,
            name=(email or "").split("@")[0].title() or None,
            function=function,
            level=level,
            role=role,
            title="Head of Marketing",
        )
        self.version = 0

    def says(
        self,
        score: float = 0.0,
        *causes: Cause,
        at: datetime = NOW,
        windows: dict[str, float] | None = None,
        kind: str = "changed",
        **more: Any,
    ) -> LeadScored:
        self.version += 1
        day = at.date().toordinal() - datetime(1970, 1, 1).toordinal()
        values: dict[str, Any] = {
            "kind": kind,
            "lead_id": self.id,
            "version": self.version,
            "as_of": at,
            "policy_version": 1,
            "known": self.email is not None,
            "person": self.person,
            "account": self.account,
            "fit": Fit(grade=self.grade, score=80.0) if self.grade else None,
            "curve": [CurvePart(signal="webinar.attended", points=score, half_life_s=30 * 86400.0)] if score else [],
            "windows": {name: [(day, int(n * 1000))] for name, n in (windows or {}).items()},
            "causes": list(causes),
        }
        return LeadScored(**(values | more))


class Fixed:
    """A policy cache that holds one policy, and a directory cache that holds one view."""

    ready: str | None = None

    def __init__(self, policy: Policy | None = None, view: DirectoryView | None = None) -> None:
        self.active = policy or example_policy()
        self.view = view or example_view()

    async def at_least(self, version: int) -> Policy:
        return self.active


class Room:
    """The router over a real database and the real log, driven by hand."""

    def __init__(self, db: Database, log: Log, policy: Policy | None = None, view: DirectoryView | None = None) -> None:
        self.db = db
        self.log = log
        self.policies = Fixed(policy)
        self.view = view or example_view()
        self.clock = FixedClock(NOW + timedelta(seconds=1))
        self.next: dict[int, int] = {}
        doors: dict[str, Any] = {"db": db, "view": lambda: self.view, "part_of": self.part_of, "clock": self.clock}
        self.handler = RouterHandler(outbox=log.outbox("router", "batch"), policies=self.policies, **doors)
        self.answers = Answers(outbox=log.outbox("router", "api"), active=lambda: self.policies.active, **doors)
        self.leads = Leads(db, lambda: self.view, lambda: self.policies.active, self.clock)

    def part_of(self, lead_id: str) -> int:
        return self.log.partition_of(LEAD_SCORED.name, lead_id.encode())

    async def own(self) -> "Room":
        """Own every partition under epoch 1."""
        parts = list(range(self.log.partitions(LEAD_SCORED.name)))
        async with self.db.raw() as pg:
            await pg.execute(
                "INSERT INTO log.lease (stage, topic, part, owner, epoch, next_offset, expires_at) "
                "SELECT 'router', $1, p, 'test', 1, 0, 'infinity' FROM unnest($2::int[]) AS p",
                LEAD_SCORED.name,
                parts,
            )
        self.next = dict.fromkeys(parts, 0)
        return self

    def batch(self, *messages: LeadScored | bytes) -> Batch:
        records: list[Record] = []
        first: dict[int, int] = {}
        for message in messages:
            if isinstance(message, bytes):
                key, value = b"x", message
                part = 0
            else:
                key = message.lead_id.encode()
                event = CloudEvent(
                    id=f"{message.lead_id}.{message.version}",
                    source="/scoring",
                    type="leadrouter.lead.scored.v1",
                    time=message.as_of,
                    data=message,
                )
                value, part = encode(event), self.part_of(message.lead_id)
            first.setdefault(part, self.next[part])
            records.append(Record(part, self.next[part], key, value, 0))
            self.next[part] += 1
        upto = {part: self.next[part] for part in first}
        return Batch("router", LEAD_SCORED.name, records, first, upto, dict.fromkeys(first, 1))

    async def send(self, *messages: LeadScored | bytes) -> None:
        """Handle messages as one batch."""
        batch = self.batch(*messages)
        await self.handler.apply(batch, await self.handler.prepare(batch))

    async def tick(self, at: datetime) -> None:
        """Let timers run as of `at`."""
        self.clock.at = at
        await self.handler.tick(dict.fromkeys(self.next, 1))

    async def routed(self, kind: str | None = None) -> list[LeadRouted]:
        """What was sent to notify, in order."""
        values = await self._values(LEAD_ROUTED.name)
        data = [routed_decoder.decode(value).data for value in values]
        return [one for one in data if kind is None or one.kind == kind]

    async def ids(self) -> list[str]:
        """Ids of all messages to notify."""
        return [routed_decoder.decode(value).id for value in await self._values(LEAD_ROUTED.name)]

    async def outcomes(self) -> list[LeadOutcome]:
        return [outcome_decoder.decode(value).data for value in await self._values(LEAD_OUTCOMES.name)]

    async def _values(self, topic: str) -> list[bytes]:
        async with self.db.raw() as pg:
            return [
                row["value"]
                for row in await pg.fetch("SELECT value FROM log.record WHERE topic = $1 ORDER BY at, part, off", topic)
            ]

    async def fetch(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self.db.raw() as pg:
            return [dict(row) for row in await pg.fetch(query, *values)]


def message_of(scored: LeadScored) -> Message:
    """A message as scoring writes it to the log."""
    event = CloudEvent(
        id=f"{scored.lead_id}.{scored.version}",
        source="/scoring",
        type="leadrouter.lead.scored.v1",
        time=scored.as_of,
        data=scored,
    )
    return Message(topic=LEAD_SCORED.name, key=scored.lead_id.encode(), value=encode(event))


class Process:
    """A whole router process over the log in PostgreSQL, its loop included."""

    def __init__(self, db: Database) -> None:
        settings = Settings(partitions=4, lease_s=2, heartbeat_s=0.2, poll_wait_s=0.05)
        clock = SystemClock()
        self.db = db
        self.listener = Listener(db)
        self.log = open_log(settings, db, self.listener)
        rooms: Any = Fixed()
        access: Any = None
        self.service = RouterService(
            settings=settings,
            db=db,
            log=self.log,
            policies=rooms,
            directory=rooms,
            access=access,
            clock=clock,
            loops=Loops(clock),
        )

    async def start(self, *, consume: bool = True) -> "Process":
        await self.listener.start()
        await self.log.ensure_topics()
        await self.service.start(consume=consume)
        return self

    async def stop(self) -> None:
        await self.service.stop(5)
        await self.log.close()
        await self.listener.stop()

    async def settled(self, leads: int, seconds: float = 20) -> None:
        """Wait until so many leads are there and nothing waits."""

        async def done() -> bool:
            async with self.db.raw() as pg:
                return await pg.fetchval("SELECT count(*) FROM router.lead") >= leads and not any(
                    one["records"] for one in self.service.lag()
                )

        assert await until(done, seconds)


async def until(test: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait until `test` gives something true."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = await test()
        if found or asyncio.get_running_loop().time() > end:
            return found
        await asyncio.sleep(0.05)
