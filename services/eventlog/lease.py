"""Which partitions may this process read, and from where? Leases in PostgreSQL, for both logs.

Each owner beats every `heartbeat_s`: says that it lives, extends its leases, takes free ones up to its fair share and
notes which to give away. Taking bumps the epoch, so that whatever an earlier owner still tries is refused by the fence.
All expiry is judged by the database's clock. Reads and writes `log.lease`, `log.member`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Final

import asyncpg
import msgspec
import structlog

from schemas.topics import StageName
from services.eventlog import metrics
from services.eventlog.core.share import Plan, plan
from services.eventlog.fence import translate
from services.eventlog.owner import is_gone
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import AWAY, Database
from services.runtime.errors import Conflict, Unavailable
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

CHANNEL: Final = "log_lease"
# A heartbeat waits for a batch that holds the row; no batch is let run longer than the statement timeout.
CALL_TIMEOUT_S: Final = 35.0
AFTER_EXPIRY_S: Final = 0.02
# Members that have not beaten for so long are forgotten.
FORGET_AFTER: Final = timedelta(hours=1)

TAKEN: Final = crash.step("lease.taken", "leases are taken over, nothing is read yet")

# ON CONFLICT alone would wait for a batch that holds the row, or for a process that stands still inside one.
MAKE_ROWS: Final = """
INSERT INTO log.lease (stage, topic, part) SELECT $1, $2, g FROM generate_series(0, $3::int - 1) AS g
 WHERE NOT EXISTS (SELECT 1 FROM log.lease l WHERE l.stage = $1 AND l.topic = $2 AND l.part = g)
ON CONFLICT DO NOTHING"""
BEAT: Final = """
INSERT INTO log.member (stage, topic, owner, expires_at) VALUES ($1, $2, $3, clock_timestamp() + $4::interval)
ON CONFLICT (stage, topic, owner) DO UPDATE SET expires_at = excluded.expires_at"""
EXTEND: Final = """
WITH mine AS MATERIALIZED (
  SELECT part FROM log.lease WHERE stage = $1 AND topic = $2 AND owner = $3 ORDER BY part FOR NO KEY UPDATE)
UPDATE log.lease l SET expires_at = clock_timestamp() + $4::interval, seen_ms = coalesce(s.ms, l.seen_ms)
  FROM mine LEFT JOIN unnest($5::int[], $6::bigint[]) AS s(part, ms) USING (part)
 WHERE l.stage = $1 AND l.topic = $2 AND l.part = mine.part
RETURNING l.part, l.epoch, l.next_offset"""
VIEW: Final = """
SELECT part, CASE WHEN expires_at > now THEN owner END AS owner,
       CASE WHEN expires_at > now THEN extract(epoch FROM expires_at - now)::float8 ELSE 0 END AS left_s
  FROM log.lease, clock_timestamp() AS now WHERE stage = $1 AND topic = $2 AND part < $3"""
LIVE: Final = "SELECT owner FROM log.member WHERE stage = $1 AND topic = $2 AND expires_at > clock_timestamp()"
# SKIP LOCKED: a row locked by a batch under way is not free yet; one locked by a frozen process becomes free when
# PostgreSQL ends its idle transaction.
TAKE: Final = """
WITH free AS MATERIALIZED (
  SELECT part, owner AS was FROM log.lease
   WHERE stage = $1 AND topic = $2 AND part = ANY ($5::int[])
     AND (owner IS NULL OR expires_at <= clock_timestamp() OR owner = ANY ($6::text[]))
   ORDER BY part FOR NO KEY UPDATE SKIP LOCKED)
UPDATE log.lease l SET owner = $3, epoch = l.epoch + 1, expires_at = clock_timestamp() + $4::interval
  FROM free WHERE l.stage = $1 AND l.topic = $2 AND l.part = free.part
RETURNING l.part, l.epoch, l.next_offset, free.was"""
RELEASE: Final = """
WITH mine AS MATERIALIZED (
  SELECT part FROM log.lease WHERE stage = $1 AND topic = $2 AND owner = $3 AND part = ANY ($4::int[])
   ORDER BY part FOR NO KEY UPDATE)
UPDATE log.lease l SET owner = NULL, expires_at = '-infinity'
  FROM mine WHERE l.stage = $1 AND l.topic = $2 AND l.part = mine.part"""
BEGIN: Final = """
UPDATE log.lease SET next_offset = $4 WHERE stage = $1 AND topic = $2 AND part = $3 AND epoch = $5 AND next_offset < 0"""
LEAVE: Final = "DELETE FROM log.member WHERE stage = $1 AND topic = $2 AND owner = $3"
FORGET: Final = "DELETE FROM log.member WHERE expires_at < clock_timestamp() - $1::interval"


EXPIRE_ALL = "UPDATE log.lease SET expires_at = clock_timestamp() WHERE owner IS NOT NULL"


async def expire_all(db: Database) -> None:
    """End every lease now: for a process that knows that no other one lives, so that it need not wait for the dead."""
    async with db.raw() as pg:
        await pg.execute(EXPIRE_ALL)


class Held(msgspec.Struct, frozen=True):
    """One lease that we hold.

    Attributes:
        next_offset: Where to read on; -1 when this partition was never begun.
        was: Who held it before, when it was taken from an owner that did not release it.
    """

    part: int
    epoch: int
    next_offset: int
    was: str | None = None


class Leases:
    """The leases of one reader: a stage and a topic.

    Args:
        parts: Number of partitions of the topic.
        owner: This process (`Log.owner`): the same name for leases and outbox lanes.
        settings: `lease_s` and `heartbeat_s`; a lease should outlive four heartbeats.
    """

    def __init__(  # noqa: PLR0917 the order of the six doors of a stage
        self, db: Database, stage: StageName, topic: str, parts: int, owner: str, clock: Clock, settings: Settings
    ) -> None:
        self._db = db
        self._stage = stage
        self._topic = topic
        self._parts = parts
        self.owner = owner
        self._clock = clock
        self._lease = timedelta(seconds=settings.lease_s)
        self._heartbeat_s = settings.heartbeat_s
        self._pg: asyncpg.Connection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._held: dict[int, Held] = {}
        self._give: frozenset[int] = frozenset()
        self._others: dict[int, str] = {}
        self._seen: dict[int, int] = {}
        self._beaten_at: float | None = None
        self._away: str | None = None
        self._next_s: float | None = None  # until the next lease of somebody else runs out, unless it is extended
        # Set when what we hold, or should give away, has changed: the consumer clears it and calls `refresh`.
        self.changed = asyncio.Event()
        # Set when the heartbeat has ended by a bug: the consumer ends with it.
        self.failed: Exception | None = None

    @property
    def held(self) -> Mapping[int, Held]:
        """Partition to its lease, as of the last beat."""
        return self._held

    @property
    def giving(self) -> frozenset[int]:
        """Partitions above our fair share: finish them, then `release`."""
        return self._give

    async def start(self) -> None:
        """Begin to beat in the background. Works without a database: it goes on when one answers."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"leases {self._stage} {self._topic}")

    async def stop(self) -> None:
        """Release everything at once, so that others need not wait for the leases to run out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(Unavailable):
            await self.release(list(self._held))
            await self._call(lambda pg: pg.execute(LEAVE, self._stage, self._topic, self.owner))
        self.lost(list(self._held))
        self._give = frozenset()
        pg, self._pg = self._pg, None
        if pg is not None:
            with contextlib.suppress(*AWAY):
                await pg.close(timeout=2)

    async def refresh(self) -> dict[int, Held]:
        """Beat now. Returns the leases to work under, positions fresh from the table, without those to give away.

        Raises:
            Unavailable: The database is away.
        """
        await self._beat()
        return {part: held for part, held in self._held.items() if part not in self._give}

    async def begin(self, part: int, epoch: int, offset: int) -> None:
        """Set the first position of a partition that nobody has begun."""
        await self._call(lambda pg: pg.execute(BEGIN, self._stage, self._topic, part, offset, epoch))

    async def release(self, parts: Collection[int]) -> None:
        """Give partitions back, once nothing of them is under way."""
        mine = [part for part in parts if part in self._held]
        if not mine:
            return
        await self._call(lambda pg: pg.execute(RELEASE, self._stage, self._topic, self.owner, mine))
        self.lost(mine)
        await self._call(lambda pg: pg.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{self._stage}/{self._topic}"))

    def lost(self, parts: Collection[int]) -> None:
        """Forget partitions that the fence has refused; the next beat reads the truth."""
        for part in parts:
            self._held.pop(part, None)
            self._seen.pop(part, None)
            self._metric(part, 0)

    def seen(self, newest: Mapping[int, int]) -> None:
        """Note the time of the newest record handled, Unix milliseconds by partition; the next beat writes it."""
        self._seen.update(newest)

    def ready(self) -> str | None:
        """None when we hold something, or know that live owners hold everything; else what is missing, in words."""
        if self._away is not None:
            return self._away
        if self._beaten_at is None:
            return "no lease has been asked for yet"
        if self._clock.monotonic() - self._beaten_at > self._lease.total_seconds():
            return f"no heartbeat for more than {self._lease.total_seconds():g} s"
        if self._held or len(self._others) == self._parts:
            return None
        waiting = self._parts - len(self._others)
        return f"{waiting} of {self._parts} partitions of {self._topic} still belong to an owner that does not answer"

    async def _run(self) -> None:
        while True:
            try:
                await self._beat()
            except Unavailable as error:
                log.warning("no heartbeat", stage=self._stage, topic=self._topic, error=error.message)
            except Exception as error:  # a bug here must not leave a process that reads without a heartbeat
                log.exception("heartbeat failed", stage=self._stage, topic=self._topic)
                self.failed = error
                self.changed.set()
                raise
            # A lease of somebody who no longer beats is looked at the moment it runs out.
            due = self._heartbeat_s if self._next_s is None else min(self._heartbeat_s, self._next_s + AFTER_EXPIRY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(AFTER_EXPIRY_S, due))
            self._wake.clear()

    async def _beat(self) -> None:
        try:
            await self._call(self._beat_once)
        except Unavailable as error:
            self._away = error.message
            raise
        self._away = None

    async def _beat_once(self, pg: asyncpg.Connection) -> None:
        name = (self._stage, self._topic, self.owner)
        await pg.execute(BEAT, *name, self._lease)
        rows = await pg.fetch(EXTEND, *name, self._lease, list(self._seen), list(self._seen.values()))
        held = {
            row["part"]: Held(row["part"], row["epoch"], row["next_offset"], self._was(row["part"], row["epoch"]))
            for row in rows
        }
        live = {row["owner"] for row in await pg.fetch(LIVE, self._stage, self._topic)}
        view = await pg.fetch(VIEW, self._stage, self._topic, self._parts)
        # Processes of this machine that have ended without a word: no need to wait for their leases to run out.
        gone = {owner for owner in live | {row["owner"] for row in view} if owner and is_gone(owner)}
        owners = {row["part"]: None if row["owner"] in gone else row["owner"] for row in view}
        self._next_s = min((row["left_s"] for row in view if row["owner"] not in (None, self.owner)), default=None)
        todo = plan(owners, live - gone, self.owner)
        if todo.take:
            for row in await pg.fetch(TAKE, *name, self._lease, list(todo.take), list(gone)):
                held[row["part"]] = Held(row["part"], row["epoch"], row["next_offset"], row["was"])
                owners[row["part"]] = self.owner
                log.info("lease taken", stage=self._stage, topic=self._topic, part=row["part"], epoch=row["epoch"])
            crash.reach(TAKEN)
        self._beaten_at = self._clock.monotonic()
        self._others = {part: owner for part, owner in owners.items() if owner not in (None, self.owner)}
        self._settle(held, todo)

    def _was(self, part: int, epoch: int) -> str | None:
        known = self._held.get(part)
        return known.was if known is not None and known.epoch == epoch else None

    def _settle(self, held: dict[int, Held], todo: Plan) -> None:
        give = frozenset(todo.give) & frozenset(held)
        before = {part: lease.epoch for part, lease in self._held.items()}
        after = {part: lease.epoch for part, lease in held.items()}
        for part in before.keys() - after.keys():
            self._metric(part, 0)
        for part, epoch in after.items():
            self._metric(part, epoch)
        changed = before != after or give != self._give
        self._held, self._give = held, give
        if changed:
            self.changed.set()

    def _metric(self, part: int, epoch: int) -> None:
        metrics.LEASE_EPOCH.labels(self._stage, self._topic, str(part)).set(epoch)

    async def _call(self, what: Callable[[asyncpg.Connection], Awaitable[object]]) -> None:
        """Do something on our own connection, opened anew when it was lost; library errors end here."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    if self._pg is None or self._pg.is_closed():
                        self._pg = await self._open()
                    await what(self._pg)
            except (asyncpg.PostgresError, *AWAY) as error:
                self._drop_connection()
                meant = translate(error)
                if isinstance(meant, Unavailable | Conflict):
                    raise Unavailable(str(meant), code="database_away") from error
                raise
            except asyncio.CancelledError:
                self._drop_connection()
                raise

    async def _open(self) -> asyncpg.Connection:
        pg = await self._db.connect()
        try:
            await pg.add_listener(CHANNEL, self._heard)
            await pg.execute(MAKE_ROWS, self._stage, self._topic, self._parts)
            await pg.execute(FORGET, FORGET_AFTER)
        except BaseException:
            pg.terminate()
            raise
        return pg

    def _drop_connection(self) -> None:
        if self._pg is not None:
            pg, self._pg = self._pg, None
            pg.terminate()

    def _heard(self, _pg: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == f"{self._stage}/{self._topic}":
            self._wake.set()
