"""The log in PostgreSQL: tables in the database that is there anyway.

Offsets are gap-free: a partition's row counts them and stays locked until the commit, so they become visible in order.
Readers of this process get what it writes from its hands, others are woken by a throttled NOTIFY; all poll in any case.
Owns `log.partition` and `log.record`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import asyncpg
import structlog

from schemas.codec import Message
from schemas.topics import FLOW, Topic
from services.eventlog import metrics
from services.eventlog.core.block import block_of
from services.eventlog.core.murmur2 import partition_of
from services.eventlog.core.retention import keep_days
from services.eventlog.fence import translate
from services.eventlog.gather import Gather, Item
from services.eventlog.pace import Pace
from services.eventlog.ports import AppendArguments, Connection, Encode, Place, Record, Staged
from services.eventlog.postgres_read import CALL_TIMEOUT_S, PostgresReader
from services.eventlog.wakes import Wakes
from services.runtime.db import AWAY, Database, Listener
from services.runtime.errors import BadMessage, LeadRouterError, Misconfigured, Unavailable
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

PUT: Final = "SELECT topic, part, base, at_ms FROM log.put($1::text[], $2::int[], $3::bytea[], $4::bytea[])"
PUT_BLOCK: Final = """
SELECT part, base, at_ms
  FROM log.put_block($1, $2::text::int[], $3::text::int[], $4::text::int[], $5::text::int[], $6::text::int[], $7, $8)"""
MAKE_PARTITIONS: Final = """
INSERT INTO log.partition (topic, part) SELECT $1, generate_series(0, $2::int - 1)
 WHERE NOT EXISTS (SELECT 1 FROM log.partition WHERE topic = $1)
ON CONFLICT DO NOTHING"""
COUNT_PARTITIONS: Final = "SELECT count(*) FROM log.partition WHERE topic = $1"
DAYS_AHEAD: Final = 3
HOUSEKEEPING_S: Final = 3600.0
HEALTHY_TIMEOUT_S: Final = 3.0


class Placed(Staged, frozen=True):
    """Records that lie in the log as soon as their transaction has committed. There is no row to publish.

    Attributes:
        records: By topic, in the order of their offsets within a partition.
    """

    records: Mapping[str, Sequence[Record]] = {}


async def put(pg: Connection, arguments: AppendArguments) -> Placed:
    """Append in the transaction of `pg`, as its last statement: it locks the counters of the log."""
    return placed(arguments, await pg.fetch(PUT, *arguments))


def placed(arguments: AppendArguments, places: Iterable[Place]) -> Placed:
    """The records that `log.put` has made of its arguments, by what it answered."""
    nexts = {(topic, part): (base, at_ms) for topic, part, base, at_ms in places}
    records: dict[str, list[Record]] = {}
    for topic, part, key, value in zip(*arguments, strict=True):
        offset, at_ms = nexts[topic, part]
        nexts[topic, part] = offset + 1, at_ms
        records.setdefault(topic, []).append(Record(part, offset, key, value, at_ms))
    return Placed("", 0, b"", [], records)


async def put_many(pg: Connection, items: Sequence[Item], wanted: Callable[[str], bool]) -> Placed:
    """As `put`, for half of what it costs when all are of one topic.

    Args:
        wanted: Whether anybody here reads a topic; for nobody no records are made.
    """
    block = block_of(items) if len(items) > 1 else None
    if block is None:
        return await put(pg, arguments_of(items))
    places = await pg.fetch(PUT_BLOCK, *block.arguments)
    records: list[Record] = []
    if wanted(block.topic):
        for part, base, at_ms in places:
            some = block.messages[part]
            records += [Record(part, base + n, message.key, message.value, at_ms) for n, message in enumerate(some)]
    return Placed("", 0, b"", [], {block.topic: records})


def arguments_of(items: Sequence[Item]) -> AppendArguments:
    """The arguments of `log.put`: topics, partitions, keys, values."""
    return (
        [message.topic for message, _ in items],
        [part for _, part in items],
        [message.key for message, _ in items],
        [message.value for message, _ in items],
    )


class PostgresWriter:
    """Appends outside of any transaction of the caller."""

    def __init__(self, log_: "PostgresLog", db: Database, wakes: Wakes) -> None:
        self._log = log_
        self._db = db
        self._wakes = wakes
        self._gather = Gather(self._send)

    async def publish(self, messages: Sequence[Message], part: int | None = None) -> None:
        """Returns when all of `messages` are committed."""
        if messages:
            await self._gather.put(list(zip(messages, self._log.places(messages, part), strict=True)))

    async def close(self) -> None:
        """Finish what is under way."""
        await self._gather.close(CALL_TIMEOUT_S)

    async def _send(self, items: list[Item]) -> None:
        try:
            async with self._db.raw() as pg:
                placed = await put_many(pg, items, self._wakes.watched)
        except LeadRouterError:
            raise
        except (asyncpg.PostgresError, *AWAY) as error:
            raise translate(error) from error
        self._wakes.placed(placed.records)
        for topic, count in Counter([message.topic for message, _ in items]).items():
            metrics.PUBLISHED.labels(topic).inc(count)


class PostgresOutbox:
    """Appends to the log in the caller's own transaction: nothing is left to publish."""

    direct: Final = True

    def __init__(self, log_: "PostgresLog", wakes: Wakes, encode: Encode | None) -> None:
        self._log = log_
        self._wakes = wakes
        self._encode = encode

    def append_arguments(self, messages: Sequence[Message]) -> AppendArguments:
        """The four arguments of `log.put`, for a stage that calls it inside a function of its own, as the last."""
        return arguments_of(list(zip(messages, self._log.places(messages), strict=True)))

    def appended(self, arguments: AppendArguments, places: Iterable[Place]) -> Staged:
        """What such a function has appended, for `committed`: `places` are the rows of `log.put`."""
        return placed(arguments, places)

    async def stage(self, pg: Connection, messages: Sequence[Message]) -> Staged | None:
        """Append `messages`; must be the last statement, since it locks the counters of the log."""
        return await put(pg, self.append_arguments(messages)) if messages else None

    async def stage_payload(self, pg: Connection, payload: bytes) -> Staged | None:
        """Make the messages of `payload` and append them."""
        if self._encode is None:
            raise TypeError("this outbox was made without encode=")
        return await self.stage(pg, self._encode(payload))

    def next_row(self, payload: bytes) -> Staged:  # noqa: ARG002 the port's shape
        """Not with this log: see `direct`."""
        raise TypeError("the PostgreSQL log has no outbox rows: ask `direct` first")

    async def committed(self, staged: Staged | None = None) -> None:
        """Give the records to the readers."""
        if isinstance(staged, Placed):
            self._wakes.placed(staged.records)

    def rolled_back(self, staged: Staged) -> None:
        """Nothing to do."""

    async def drain(self, gone: Sequence[str] = ()) -> None:
        """Nothing is ever left behind."""

    async def flush(self, seconds: float) -> bool:  # noqa: ARG002 the port's shape
        """Nothing waits."""
        return True

    async def waiting(self) -> int:
        """Nothing waits."""
        return 0


class PostgresLog:
    """The log as a whole.

    Args:
        owner: Name of this process, for leases.
        topics: Which topics there are; tests may use others.
    """

    def __init__(
        self, settings: Settings, db: Database, listener: Listener, owner: str, topics: Sequence[Topic] = FLOW
    ) -> None:
        self.owner = owner
        self._settings = settings
        self._db = db
        self._topics = {topic.name: topic for topic in topics}
        self._pace = Pace([topic.name for topic in topics])
        self._wakes = Wakes(db, listener, owner)
        self._writer = PostgresWriter(self, db, self._wakes)
        self._readers: set[PostgresReader] = set()
        self._outboxes: dict[tuple[str, str], PostgresOutbox] = {}
        self._housekeeping: asyncio.Task[None] | None = None

    async def ensure_topics(self) -> None:
        """Make partitions and days; start the hourly housekeeping."""
        try:
            async with self._db.transaction() as pg:
                for topic in self._topics:
                    await pg.execute(MAKE_PARTITIONS, topic, self._settings.partitions)
                    found = await pg.fetchval(COUNT_PARTITIONS, topic)
                    if found != self._settings.partitions:
                        raise Misconfigured(
                            f"topic {topic} has {found} partitions, LEAD_ROUTER_PARTITIONS says "
                            f"{self._settings.partitions}; the number is part of the state and cannot be changed"
                        )
                await pg.fetchval("SELECT log.make_days($1)", DAYS_AHEAD)
        except asyncpg.UndefinedTableError as error:
            raise Misconfigured("the database has no tables of the log; run: lead-router migrate") from error
        except asyncpg.PostgresError as error:
            raise translate(error) from error
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(self._keep_house(), name="log housekeeping")

    def partitions(self, topic: str) -> int:
        """Number of partitions of `topic`."""
        if topic not in self._topics:
            raise BadMessage(f"there is no topic {topic}", code="unknown_topic")
        return self._settings.partitions

    def partition_of(self, topic: str, key: bytes) -> int:
        """Kafka's default: murmur2 of the key."""
        return partition_of(key, self.partitions(topic))

    def place(self, message: Message, part: int | None = None) -> int:
        """Where `message` goes: `part` if given, else by its key; without a key to partition 0."""
        count = self.partitions(message.topic)
        if part is None:
            return 0 if message.key is None else partition_of(message.key, count)
        if not 0 <= part < count:
            raise BadMessage(f"topic {message.topic} has no partition {part}", code="unknown_partition")
        return part

    def places(self, messages: Sequence[Message], part: int | None = None) -> list[int]:
        """`place` of each."""
        if part is not None:
            return [self.place(message, part) for message in messages]
        counts = {topic: self.partitions(topic) for topic in {message.topic for message in messages}}
        return [0 if message.key is None else partition_of(message.key, counts[message.topic]) for message in messages]

    def reader(self, topic: str, group: str) -> PostgresReader:  # noqa: ARG002 lag tools of Kafka only
        """A reader of one topic."""
        self.partitions(topic)
        made = PostgresReader(self._db, topic, self._wakes, self._pace, self._readers.discard)
        self._readers.add(made)
        return made

    def writer(self) -> PostgresWriter:
        """The writer of this process."""
        return self._writer

    def outbox(self, stage: str, lane: str, encode: Encode | None = None) -> PostgresOutbox:
        """An outbox that appends in the transaction itself."""
        return self._outboxes.setdefault((stage, lane), PostgresOutbox(self, self._wakes, encode))

    async def healthy(self) -> str | None:
        """None when PostgreSQL answers."""
        try:
            async with asyncio.timeout(HEALTHY_TIMEOUT_S), self._db.raw() as pg:
                await pg.fetchval("SELECT 1")
        except Unavailable as error:
            return error.message
        except TimeoutError:
            return f"PostgreSQL did not answer within {HEALTHY_TIMEOUT_S:g} s"
        except asyncpg.PostgresError as error:
            return f"PostgreSQL cannot now: {error}"
        return None

    async def close(self) -> None:
        """Close everything."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
            self._housekeeping = None
        await self._writer.close()
        for reader in list(self._readers):
            await reader.close()
        await self._wakes.close()

    async def _keep_house(self) -> None:
        while True:
            try:
                await self.keep_house()
            except (Unavailable, asyncpg.PostgresError) as error:
                # A lock that was not given in time, a database that is away: an hour later is early enough.
                log.warning("log housekeeping put off", error=str(error))
            await asyncio.sleep(HOUSEKEEPING_S)

    async def keep_house(self) -> None:
        """Make the days ahead, drop those too old. Days with unread records stay, up to four times as long."""
        async with self._db.transaction() as pg:
            await pg.fetchval("SELECT log.make_days($1)", DAYS_AHEAD)
        for topic in self._topics.values():
            dropped = True
            while dropped:
                async with self._db.transaction() as pg:
                    days = keep_days(topic, self._settings.log_retention_days)
                    dropped = await pg.fetchval("SELECT log.drop_day($1, $2)", topic.name, days)
