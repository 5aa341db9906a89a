"""A machine that delivers, repeats, steals leases, kills and restarts in any order, against a plain fold.

Two owners of scoring's real handler on a real PostgreSQL with its log. Between reading a batch and writing it an owner
may stand still for any number of steps of the other; it may die before its commit, or right after it. Whatever happens,
what is stored at the end is what a plain fold of the log says.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from schemas.topics import TRACKING_EVENTS
from services.cli.first_start import seed
from services.directory.rows import DirectoryStore
from services.directory.store import DirectoryCache
from services.eventlog.ports import Batch, Record
from services.eventlog.postgres import PostgresLog
from services.policy.cache import PolicyCache
from services.policy.store import PolicyStore
from services.runtime import crash
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.errors import Conflict, Fenced
from services.runtime.settings import Settings
from services.scoring.handler import events as scoring
from services.scoring.store.metrics import Meters
from tests.chaos import traffic
from tests.chaos.verify import verify_scoring
from tests.support.postgres import execute, url_of

pytestmark = [pytest.mark.needs_postgres, pytest.mark.timeout(300)]

PARTS = 2
EVENTS = 120
DEADLY = (scoring.APPLIED, scoring.STAGED, scoring.COMMITTED)
AHEAD = 2  # batches that an owner has read and not written
NEXT = "SELECT part, off, key, value, at FROM log.record WHERE topic = $1 AND part = $2 AND off >= $3 ORDER BY off LIMIT $4"
STEAL = """
UPDATE log.lease SET owner = $3, epoch = epoch + 1 WHERE stage = 'scoring' AND topic = $1 AND part = $2"""
MINE = "SELECT part, epoch, next_offset FROM log.lease WHERE stage = 'scoring' AND topic = $1 AND owner = $2"


class Died(BaseException):
    """Stands for `kill -9` at a step: nothing of the process may go on."""


@contextlib.contextmanager
def dying_at(step: str | None) -> Iterator[None]:
    """Die at a named step instead of ending the process."""

    def reach(name: str) -> None:
        if name == step:
            raise Died(name)

    before, crash.reach = crash.reach, reach
    try:
        yield
    finally:
        crash.reach = before


class Owner:
    """One process of scoring, driven by hand as the consumer drives it."""

    def __init__(self, name: str, make: Callable[[str], scoring.ScoringHandler]) -> None:
        self.name = name
        self._make = make
        self.lives = 0
        self.handler: scoring.ScoringHandler
        self.born()

    def born(self) -> None:
        """A new process: it knows nothing."""
        self.lives += 1
        self.me = f"{self.name}.{self.lives}"
        self.handler = self._make(self.me)
        self.epochs: dict[int, int] = {}
        self.read_to: dict[int, int] = {}
        self.held: list[tuple[Batch, scoring.Work]] = []

    def forget(self) -> None:
        """Drop what is read ahead."""
        self.handler.reset()
        self.held.clear()


class Machine(RuleBasedStateMachine):
    """Steps of two owners and of those who write events."""

    server: str
    template: str

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.name = f"test_machine_{secrets.token_hex(6)}"
        self.do(execute(self.server, f'CREATE DATABASE "{self.name}" TEMPLATE "{self.template}" STRATEGY FILE_COPY'))
        self.db = Database(url_of(self.server, self.name), pool_size=6)
        self.settings = Settings(partitions=PARTS)
        self.listener = Listener(self.db)
        self.log = PostgresLog(self.settings, self.db, self.listener, "machine")
        self.policies = PolicyCache(self.db, self.listener, SystemClock())
        self.directory = DirectoryCache(self.db, self.listener)
        self.handlers: list[scoring.ScoringHandler] = []
        self.do(self._begin())
        self.owners = [Owner(name, self._handler) for name in ("a", "b")]
        self.traffic = traffic.make(EVENTS, seed=7, people=14)
        self.written = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to its end."""
        return self.loop.run_until_complete(work)

    async def _begin(self) -> None:
        await seed(self.db, PolicyStore(self.db), DirectoryStore(self.db))
        await self.log.ensure_topics()
        await self.policies.refresh()
        await self.directory.refresh()
        async with self.db.raw() as pg:
            for part in range(PARTS):
                await pg.execute(
                    "INSERT INTO log.lease (stage, topic, part, next_offset) VALUES ('scoring', $1, $2, 0)",
                    TRACKING_EVENTS.name,
                    part,
                )
        await self._handler("first").keep_partitions()

    def _handler(self, owner: str) -> scoring.ScoringHandler:
        made = scoring.ScoringHandler(
            db=self.db,
            settings=self.settings,
            policies=self.policies,
            directory=self.directory,
            clock=SystemClock(),
            meters=Meters(),
        )
        made.outbox = PostgresLog(self.settings, self.db, self.listener, owner).outbox("scoring", "batch", made.encode)
        self.handlers.append(made)
        return made

    # -- what happens. Each step does something: who has no lease takes one, who finds nothing to read waits for events.

    @rule(place=st.integers(0, EVENTS), count=st.integers(1, 8))
    def repeat(self, place: int, count: int) -> None:
        """Somebody writes events again."""
        again = self.traffic.messages[: self.written][place % (self.written + 1) :][:count]
        if again:
            self.do(self.log.writer().publish(again))

    @rule(who=st.integers(0, 1), most=st.integers(1, 12))
    def turn(self, who: int, most: int) -> None:
        """Read and write with nobody in between, on top of what was held."""
        owner = self.owners[who]
        self._deliver(2 * most)
        self.do(self._read(owner, most))
        while owner.held:
            self.do(self._write(owner))

    @rule(part=st.integers(0, PARTS - 1), most=st.integers(1, 12))
    def stolen_between(self, part: int, most: int) -> None:
        """One reads, the other takes the lease and goes on, the first writes what is no longer its own."""
        first, second = self.owners
        self.do(self._steal(first, [part]))
        self._deliver(2 * most)
        self.do(self._read(first, most))
        self.do(self._steal(second, [part]))
        self.do(self._read(second, most))
        if part % 2:
            self.do(self._write(second))
            self.do(self._write(first))
        else:
            self.do(self._write(first))
            self.do(self._write(second))

    @rule(who=st.integers(0, 1), part=st.integers(0, PARTS - 1))
    def steal(self, who: int, part: int) -> None:
        """A lease has run out and the other takes it; the one who had it does not know."""
        if part not in self.owners[who].epochs:
            self.do(self._steal(self.owners[who], [part]))

    @rule(who=st.integers(0, 1), most=st.integers(1, 12), batches=st.integers(1, AHEAD))
    def read(self, who: int, most: int, batches: int) -> None:
        """Poll and prepare, and then stand still: what others do comes before the write."""
        self._deliver(2 * most)
        for _ in range(batches):
            self.do(self._read(self.owners[who], most))

    @rule(who=st.integers(0, 1), step=st.sampled_from([None, None, None, *DEADLY]))
    def write(self, who: int, step: str | None) -> None:
        """Write what was read, however old it is by now; die at `step` if it comes there."""
        owner = self.owners[who]
        if not owner.held:
            self._deliver(12)
            self.do(self._read(owner, 6))
        try:
            with dying_at(step):
                self.do(self._write(owner))
        except Died:
            owner.born()

    @rule(who=st.integers(0, 1))
    def kill(self, who: int) -> None:
        """It is gone, with all that it had read."""
        self.owners[who].born()

    # -- how

    def _deliver(self, count: int) -> None:
        """Somebody writes the next events."""
        new = self.traffic.messages[self.written : self.written + count]
        self.written += len(new)
        self.do(self.log.writer().publish(new))

    async def _steal(self, owner: Owner, parts: list[int]) -> None:
        async with self.db.raw() as pg:
            for part in parts:
                await pg.execute(STEAL, TRACKING_EVENTS.name, part, owner.me)
        await self._session(owner)

    async def _session(self, owner: Owner) -> None:
        """Begin anew from what the leases say."""
        owner.forget()
        async with self.db.raw() as pg:
            rows = await pg.fetch(MINE, TRACKING_EVENTS.name, owner.me)
        owner.epochs = {row["part"]: row["epoch"] for row in rows}
        owner.read_to = {row["part"]: row["next_offset"] for row in rows}
        owner.handler.owned(sorted(owner.epochs))

    async def _read(self, owner: Owner, most: int) -> None:
        if len(owner.held) == AHEAD:
            return
        if not owner.epochs:
            await self._steal(owner, [self.owners.index(owner) % PARTS])
        records: list[Record] = []
        async with self.db.raw() as pg:
            for part, at in owner.read_to.items():
                for row in await pg.fetch(NEXT, TRACKING_EVENTS.name, part, at, most):
                    at_ms = int(row["at"].timestamp() * 1000)
                    records.append(Record(part, row["off"], row["key"], row["value"], at_ms))
        if not records:
            return
        first: dict[int, int] = {}
        following: dict[int, int] = {}
        for record in records:
            first.setdefault(record.part, record.offset)
            following[record.part] = record.offset + 1
        epochs = {part: owner.epochs[part] for part in first}
        batch = Batch("scoring", TRACKING_EVENTS.name, records, first, following, epochs)
        owner.held.append((batch, await self._prepared(owner, batch)))
        owner.read_to.update(following)

    async def _prepared(self, owner: Owner, batch: Batch) -> scoring.Work:
        for _ in range(20):
            try:
                return await owner.handler.prepare(batch)
            except Conflict:
                owner.handler.reset()
        raise AssertionError("a batch cannot be prepared")

    async def _write(self, owner: Owner) -> None:
        if not owner.held:
            return
        (batch, work), *later = owner.held
        for _ in range(20):
            try:
                await owner.handler.apply(batch, work)
                owner.held = later
                return
            except Fenced:
                await self._session(owner)
                return
            except Conflict:
                # As the consumer does: all that was read ahead is prepared again, in order.
                owner.handler.reset()
                work = await self._prepared(owner, batch)
                later = [(one, await self._prepared(owner, one)) for one, _ in later]
                owner.held = [(batch, work), *later]
        raise AssertionError("a batch conflicts for ever")

    def teardown(self) -> None:
        """One owner goes on to the end; then everything is compared."""
        try:
            self.do(self._finish())
        finally:
            self.do(self._close())
            self.loop.close()

    async def _finish(self) -> None:
        owner = self.owners[0]
        owner.born()
        await self._steal(owner, list(range(PARTS)))
        ends = dict(await self.log.reader(TRACKING_EVENTS.name, "ends").bounds(range(PARTS)))
        while any(owner.read_to[part] < end for part, (_, end) in ends.items()):
            await self._read(owner, 50)
            await self._write(owner)
        await verify_scoring(self.db, self.log, self.policies.active, self.traffic.poison)

    async def _close(self) -> None:
        for handler in self.handlers:
            await handler.close()
        await self.log.close()
        await self.db.close()
        await execute(self.server, f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


def test_whatever_happens_equals_a_plain_fold(postgres_server: str, template_database: str) -> None:
    run_machine(postgres_server, template_database, examples=6, steps=30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_happens_for_long_equals_a_plain_fold(postgres_server: str, template_database: str) -> None:
    run_machine(postgres_server, template_database, examples=150, steps=80)


def run_machine(server: str, template: str, *, examples: int, steps: int) -> None:
    """Run it on databases of `server`."""
    made = type("Machine", (Machine,), {"server": server, "template": template})
    # Shrinking means running again many times, on databases: what failed is printed as it was.
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(made, settings=chosen)
