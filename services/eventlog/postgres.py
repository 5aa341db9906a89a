"""The log in PostgreSQL: tables in the database that is there anyway.

Offsets are gap-free: a partition's row counts them and stays locked until the commit, so they become visible in order.
Readers are woken in this process at once, in others by a throttled NOTIFY, and poll in any case.
Owns `log.partition` and `log.record`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import structlog

from schemas.codec import Message
from schemas.topics import FLOW, Topic
from services.eventlog import metrics
from services.eventlog.core.murmur2 import partition_of
from services.eventlog.core.retention import keep_days
from services.eventlog.fence import translate
from services.eventlog.gather import Gather, Item
from services.eventlog.ports import AppendArguments, Connection, Encode, LogTruncated, Record, Staged
from services.eventlog.wakes import Wakes
from services.runtime.db import AWAY, Database, Listener
from services.runtime.errors import BadMessage, LeadRouterError, Misconfigured, Unavailable
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

APPEND: Final = "SELECT log.append($1::text[], $2::int[], $3::bytea[], $4::bytea[])"
MAKE_PARTITIONS: Final = """
INSERT INTO log.partition (topic, part) SELECT $1, generate_series(0, $2::int - 1)
 WHERE NOT EXISTS (SELECT 1 FROM log.partition WHERE topic = $1)
ON CONFLICT DO NOTHING"""
COUNT_PARTITIONS: Final = "SELECT count(*) FROM log.partition WHERE topic = $1"
BOUNDS: Final = "SELECT part, first, next FROM log.partition WHERE topic = $1 AND part = ANY ($2::int[])"
# Partitions without anything new are passed over before the records are touched. A partition that should have
# something and has nothing gives one row of nulls: its records are gone.
POLL: Final = """
SELECT u.part, r.off, r.key, r.value, (extract(epoch FROM r.at) * 1000)::bigint AS at_ms
  FROM unnest($2::int[], $3::bigint[]) AS u(part, off)
  JOIN log.partition p ON p.topic = $1 AND p.part = u.part AND p.next > u.off
  LEFT JOIN LATERAL (
    SELECT x.off, x.key, x.value, x.at FROM log.record x
     WHERE x.topic = $1 AND x.part = u.part AND x.off >= u.off AND x.at >= $5
     ORDER BY x.off LIMIT $4) r ON true"""
# Plans know the topic and the day, and so open one or two tables instead of all; never a scan of a whole day.
READER_SESSION: Final = {
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
}
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Records are fetched ahead for so many bytes, judged by the size of those before.
FETCH_BYTES: Final = 16 << 20
DAYS_AHEAD: Final = 3
HOUSEKEEPING_S: Final = 3600.0
CALL_TIMEOUT_S: Final = 35.0
HEALTHY_TIMEOUT_S: Final = 3.0


class PostgresReader:
    """Reads one topic on a connection of its own."""

    def __init__(self, db: Database, topic: str, wakes: Wakes, closed: Callable[["PostgresReader"], None]) -> None:
        self._db = db
        self._topic = topic
        self._closed = closed
        self._wakes = wakes
        self._woken = wakes.watch(topic)
        self._pg: asyncpg.Connection | None = None
        self._handed: dict[int, int] = {}  # partition to the next offset to hand out
        self._fetched: dict[int, int] = {}  # partition to the next offset to fetch
        self._since: dict[int, datetime] = {}  # partition to the time of its newest record seen
        self._ahead: list[Record] = []
        self._active = 1
        self._bytes_each = 1024.0
        self._more = True  # there may be records that we have not fetched and will not be told of

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset."""
        kept = {part for part, offset in positions.items() if self._handed.get(part) == offset}
        self._ahead = [record for record in self._ahead if record.part in kept]
        self._fetched = {part: self._fetched[part] if part in kept else at for part, at in positions.items()}
        self._since = {part: at for part, at in self._since.items() if part in kept}
        self._handed = dict(positions)
        self._active = max(1, len(positions))
        self._more = True

    async def poll(self, max_records: int, max_wait_s: float) -> Sequence[Record]:
        """What is there, at once; waits up to `max_wait_s` only when nothing is."""
        if not self._ahead:
            # After a fetch that took everything there is nothing to look for until somebody says so, or time is up.
            if self._more or self._woken.is_set():
                self._woken.clear()
                await self._fetch(max_records)
            if not self._ahead:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max_wait_s):
                        await self._woken.wait()
                self._woken.clear()
                await self._fetch(max_records)
        batch, self._ahead = self._ahead[:max_records], self._ahead[max_records:]
        for record in batch:
            self._handed[record.part] = record.offset + 1
        return batch

    async def bounds(self, parts: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """Partition to (first offset still there, next offset to be written)."""
        try:
            # Not on our own connection: a poll may be under way there.
            async with self._db.raw() as pg:
                rows = await pg.fetch(BOUNDS, self._topic, list(parts))
        except asyncpg.PostgresError as error:
            raise translate(error) from error
        return {row["part"]: (row["first"], row["next"]) for row in rows}

    async def note(self, positions: Mapping[int, int]) -> None:
        """Nothing to do: the positions are in the same database, in `log.lease`."""

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._wakes.forget(self._topic, self._woken)
        self._drop_connection()
        self._closed(self)

    async def _fetch(self, max_records: int) -> None:
        if not self._fetched:
            return
        parts = sorted(self._fetched)
        limit = max(1, min(-(-max_records // self._active), int(FETCH_BYTES / self._bytes_each / self._active)))
        since = min(self._since.get(part, EVER) for part in parts)
        asked = [self._fetched[part] for part in parts]
        self._more = True  # until we know better: the query may fail
        rows = await self._query(POLL, self._topic, parts, asked, limit, since)
        size = 0
        newest: dict[int, int] = {}
        for part, offset, key, value, at_ms in rows:
            if offset != self._fetched[part]:
                raise LogTruncated(
                    f"{self._topic} partition {part}: the next record to read is {self._fetched[part]}, but the log "
                    f"now begins at {offset}. Records were dropped by age before they were read; see the runbook, "
                    "position_outside_log"
                )
            self._fetched[part] = offset + 1
            self._ahead.append(Record(part, offset, key, value, at_ms))
            newest[part] = at_ms
            size += len(value or b"") + len(key or b"")
        # A partition that gave all that was asked for may have more.
        self._more = len(rows) >= limit
        if rows:
            self._active = max(1, len(newest))
            self._bytes_each = max(64.0, size / len(rows))
        for part, at_ms in newest.items():
            # Times rise with offsets, so older days need not be opened again; milliseconds are rounded.
            self._since[part] = datetime.fromtimestamp(at_ms / 1000 - 0.001, UTC)

    async def _query(self, sql: str, *arguments: object) -> list[Any]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                if self._pg is None or self._pg.is_closed():
                    self._pg = await self._db.connect(**READER_SESSION)
                return list(await self._pg.fetch(sql, *arguments))
        except (asyncpg.PostgresError, *AWAY) as error:
            self._drop_connection()
            raise translate(error) from error
        except asyncio.CancelledError:
            self._drop_connection()  # it may be in the middle of an answer
            raise

    def _drop_connection(self) -> None:
        if self._pg is not None:
            pg, self._pg = self._pg, None
            pg.terminate()


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
            await self._gather.put([(message, self._log.place(message, part)) for message in messages])

    async def close(self) -> None:
        """Finish what is under way."""
        await self._gather.close(CALL_TIMEOUT_S)

    async def _send(self, items: list[Item]) -> None:
        topics = [message.topic for message, _ in items]
        keys = [message.key for message, _ in items]
        values = [message.value for message, _ in items]
        try:
            async with self._db.raw() as pg:
                await pg.execute(APPEND, topics, [part for _, part in items], keys, values)
        except LeadRouterError:
            raise
        except (asyncpg.PostgresError, *AWAY) as error:
            raise translate(error) from error
        self._wakes.touch(topics)
        for topic in set(topics):
            metrics.PUBLISHED.labels(topic).inc(topics.count(topic))


class PostgresOutbox:
    """Appends to the log in the caller's own transaction: nothing is left to publish."""

    direct: Final = True

    def __init__(self, log_: "PostgresLog", wakes: Wakes, encode: Encode | None) -> None:
        self._log = log_
        self._wakes = wakes
        self._encode = encode
        self._touched: set[str] = set()

    def append_arguments(self, messages: Sequence[Message]) -> AppendArguments:
        """The four arguments of `log.append`, for a stage that calls it inside a function of its own, as the last."""
        self._touched.update(message.topic for message in messages)
        return (
            [message.topic for message in messages],
            [self._log.place(message) for message in messages],
            [message.key for message in messages],
            [message.value for message in messages],
        )

    async def stage(self, pg: Connection, messages: Sequence[Message]) -> Staged | None:
        """Append `messages`; must be the last statement, since it locks the counters of the log."""
        if messages:
            await pg.execute(APPEND, *self.append_arguments(messages))
        return None

    async def stage_payload(self, pg: Connection, payload: bytes) -> Staged | None:
        """Make the messages of `payload` and append them."""
        if self._encode is None:
            raise TypeError("this outbox was made without encode=")
        return await self.stage(pg, self._encode(payload))

    def next_row(self, payload: bytes) -> Staged:  # noqa: ARG002 the port's shape
        """Not with this log: see `direct`."""
        raise TypeError("the PostgreSQL log has no outbox rows: ask `direct` first")

    async def committed(self, staged: Staged | None = None) -> None:  # noqa: ARG002 the port's shape
        """Wake the readers."""
        touched, self._touched = self._touched, set()
        self._wakes.touch(touched)

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

    def reader(self, topic: str, group: str) -> PostgresReader:  # noqa: ARG002 lag tools of Kafka only
        """A reader of one topic."""
        self.partitions(topic)
        made = PostgresReader(self._db, topic, self._wakes, self._readers.discard)
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
