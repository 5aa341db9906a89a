"""Parts for tests of the log: small settings, a topic of our own, and a handler that counts."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import make_url

from schemas.codec import Message
from schemas.topics import Topic
from services.eventlog.consume import Consumer
from services.eventlog.fence import fence
from services.eventlog.lease import Leases
from services.eventlog.open import open_log
from services.eventlog.ports import Batch, Log, Outbox, Staged
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable
from services.runtime.settings import Settings


def topic(name: str) -> Topic:
    """A topic for tests."""
    return Topic(name=name, key="k", writer="ingest", reader="scoring", holds="tests", retention_days=7)


LEDGER = "CREATE TABLE IF NOT EXISTS ledger (part int, off bigint, value bytea, who text, at timestamptz DEFAULT clock_timestamp())"


def quick(**changes: Any) -> Settings:
    """Settings with short times."""
    values: dict[str, Any] = {
        "lease_s": 1.5,
        "heartbeat_s": 0.2,
        "poll_wait_s": 0.1,
        "kafka_timeout_s": 3.0,
        "partitions": 4,
        "batch_max_records": 100,
    }
    return Settings(**(values | changes))


class Kit:
    """One process's worth of log: database, listener, log. Kits of one database have the same two topics."""

    def __init__(self, url: str, settings: Settings, owner: str | None = None) -> None:
        self.settings = settings
        self.db = Database(url, pool_size=8)
        self.listener = Listener(self.db)
        mark = make_url(url).database  # brokers are shared by tests, databases are not
        self.source, self.sink = f"{mark}.in", f"{mark}.out"
        self.log: Log = open_log(
            settings, self.db, self.listener, owner=owner, topics=(topic(self.source), topic(self.sink))
        )

    async def open(self) -> "Kit":
        await self.listener.start()
        await self.log.ensure_topics()
        return self

    async def close(self) -> None:
        await self.log.close()
        await self.listener.stop()
        await self.db.close()

    async def twin(self) -> "Kit":
        """Another process beside this one."""
        return await Kit(self.db.dsn, self.settings).open()

    def leases(self) -> Leases:
        return Leases(
            self.db, "scoring", self.source, self.settings.partitions, self.log.owner, SystemClock(), self.settings
        )

    def numbered(self, count: int, first: int = 0) -> list[Message]:
        """Messages that carry their own number, spread over keys."""
        return [Message(topic=self.source, key=b"k%d" % (n % 17), value=b"%d" % n) for n in range(first, first + count)]

    async def fill(self, count: int, first: int = 0) -> None:
        """Publish `numbered` messages."""
        await self.log.writer().publish(self.numbered(count, first))

    async def count(self) -> int:
        """Rows in the ledger."""
        async with self.db.raw() as pg:
            return int(await pg.fetchval("SELECT count(*) FROM ledger"))

    async def has(self, count: int) -> bool:
        """Whether the ledger has so many rows."""
        return await self.count() == count


class Beats:
    """Stands in for `runtime.health.Loops`."""

    def __init__(self) -> None:
        self.turns = 0

    def beat(self, name: str) -> None:
        self.turns += 1

    def forget(self, name: str) -> None:
        pass


class Ledger:
    """A handler that writes each record into `ledger` and, if it has an outbox, sends it on to `test.out`."""

    def __init__(self, kit: Kit, who: str = "a", outbox: Outbox | None = None) -> None:
        self.db = kit.db
        self.sink = kit.sink
        self.who = who
        self.outbox = outbox
        self.resets = 0
        self.own: list[int] = []
        self.ticks: list[dict[int, int]] = []
        self.batches: list[int] = []
        self.in_prepare: Callable[[Batch], None] = lambda _: None
        self.in_apply: Callable[[Batch], None] = lambda _: None
        self.after_commit: Callable[[Batch], None] = lambda _: None
        self.busy = 0
        self.applying = asyncio.Event()
        self.hold: asyncio.Event | None = None

    async def prepare(self, batch: Batch) -> Sequence[int]:
        self.in_prepare(batch)
        return [record.offset for record in batch.records]

    async def apply(self, batch: Batch, work: Sequence[int]) -> None:
        assert list(work) == [record.offset for record in batch.records]
        self.busy += 1
        assert self.busy == 1, "apply ran twice at once"
        staged: Staged | None = None
        try:
            async with self.db.transaction() as pg:
                await fence(pg, batch)
                self.applying.set()
                if self.hold is not None:
                    await self.hold.wait()
                self.in_apply(batch)
                await pg.executemany(
                    "INSERT INTO ledger (part, off, value, who) VALUES ($1, $2, $3, $4)",
                    [(record.part, record.offset, record.value, self.who) for record in batch.records],
                )
                if self.outbox is not None:
                    staged = await self.outbox.stage(
                        pg,
                        [Message(topic=self.sink, key=record.key, value=record.value) for record in batch.records],
                    )
        finally:
            self.busy -= 1
        self.after_commit(batch)
        self.batches.append(len(batch.records))
        if self.outbox is not None:
            await self.outbox.committed(staged)

    async def tick(self, epochs: Mapping[int, int]) -> None:
        assert self.busy == 0
        self.ticks.append(dict(epochs))

    def reset(self) -> None:
        self.resets += 1

    def owned(self, parts: Sequence[int]) -> None:
        self.own = list(parts)


def consumer(kit: Kit, handler: Ledger, **more: Any) -> Consumer[Sequence[int]]:
    """A consumer of the kit's source for `handler`."""
    return Consumer(
        kit.log,
        kit.source,
        "scoring",
        handler,
        kit.db,
        kit.leases(),
        kit.settings,
        Beats(),
        outbox=handler.outbox,
        **more,
    )


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until `condition()` (or what it awaits) is true."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert asyncio.get_running_loop().time() < end, f"not true within {seconds} s"
        await asyncio.sleep(0.02)


async def read_all(log: Log, topic: str, count: int, seconds: float = 15.0) -> list[Any]:
    """At least `count` records from the start of `topic`, then whatever is there."""
    reader = log.reader(topic, "test-reads-all")
    try:
        bounds = await reader.bounds(range(log.partitions(topic)))
        await reader.assign({part: first for part, (first, _) in bounds.items()})
        records: list[Any] = []
        end = asyncio.get_running_loop().time() + seconds
        while len(records) < count and asyncio.get_running_loop().time() < end:
            with contextlib.suppress(Unavailable):  # for a moment: a reader is asked again
                records += await reader.poll(1000, 0.2)
        records += await reader.poll(1000, 0.2)
        return records
    finally:
        await reader.close()
