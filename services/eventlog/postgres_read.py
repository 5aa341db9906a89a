"""Reading one topic of the log in PostgreSQL: takes what this process writes from its hands, looks for the rest.

It looks when others say that there is something, when what it was handed does not follow what it has, and at times in
any case. When it is its turn to give a small batch: see `pace`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from services.eventlog.fence import translate
from services.eventlog.pace import SMALL, Pace
from services.eventlog.ports import LogTruncated, Record
from services.eventlog.wakes import Wakes
from services.runtime.db import AWAY, Database

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
# What is handed over waits here up to so many records and bytes; a reader that falls behind looks for them later.
HANDED_RECORDS: Final = 1000
HANDED_BYTES: Final = 1 << 20
CALL_TIMEOUT_S: Final = 35.0


class PostgresReader:
    """Reads one topic on a connection of its own."""

    def __init__(
        self, db: Database, topic: str, wakes: Wakes, pace: Pace, closed: Callable[["PostgresReader"], None]
    ) -> None:
        self.topic = topic
        self._db = db
        self._closed = closed
        self._wakes = wakes
        self._pace = pace
        self._woken = asyncio.Event()
        self._pg: asyncpg.Connection | None = None
        self._handed: dict[int, int] = {}  # partition to the next offset to hand out
        self._applied: dict[int, int] = {}  # the same for what is committed, once we are told of any
        self._fetched: dict[int, int] = {}  # partition to the next offset to fetch
        self._since: dict[int, datetime] = {}  # partition to the time of its newest record seen
        self._ahead: list[Record] = []
        self._active = 1
        self._bytes_each = 1024.0
        self._more = True  # there may be records that we have not fetched and will not be told of
        self._behind = True  # the last fetch gave all that was asked for
        self._fetching = False
        self._told = False  # something came during a fetch
        self._waiting_bytes = 0  # of those handed over since nothing was ahead
        wakes.watch(topic, self)
        pace.join(self)

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset."""
        kept = {part for part, offset in positions.items() if self._handed.get(part) == offset}
        self._ahead = [record for record in self._ahead if record.part in kept]
        self._fetched = {part: self._fetched[part] if part in kept else at for part, at in positions.items()}
        self._since = {part: at for part, at in self._since.items() if part in kept}
        self._handed, self._applied = dict(positions), {}
        self._active = max(1, len(positions))
        self._more = self._behind = True

    async def poll(self, max_records: int, max_wait_s: float) -> Sequence[Record]:
        """What is there, at once; waits up to `max_wait_s` only when nothing is."""
        told = True
        for _ in range(2):
            # After a fetch that took everything there is nothing to look for until somebody says so, or time is up.
            if not self._ahead and not self._more:
                told = await self._news(max_wait_s)
            await self._pace.turn(self)
            if not self._ahead:
                await self._fetch(max_records)
            if self._ahead or not told:
                break
        batch, self._ahead = self._ahead[:max_records], self._ahead[max_records:]
        if not self._ahead:
            self._waiting_bytes = 0
        for record in batch:
            self._handed[record.part] = record.offset + 1
        return batch

    def applied(self, positions: Mapping[int, int]) -> None:
        """What was given is committed, up to `positions`."""
        self._applied = {**(self._applied or self._handed), **positions}
        self._pace.moved()

    def done(self) -> bool:
        """All that was given is committed."""
        return not self._applied or self._applied == self._handed

    def idle(self) -> bool:
        """So it is, and nothing waits; without a partition nothing ever does."""
        return not self._fetched or not (self._ahead or self._more or not self.done())

    def pressed(self) -> bool:
        """More waits than a small batch, or may."""
        return self._behind or len(self._ahead) >= SMALL

    def look(self) -> None:
        """There may be something new in the log."""
        self._more = True
        self._told = True
        self._woken.set()

    def offer(self, records: Sequence[Record]) -> None:
        """Take what was committed just now, as far as it follows what we have; else look for it."""
        if self._fetching or self._more or len(self._ahead) >= HANDED_RECORDS or self._waiting_bytes >= HANDED_BYTES:
            self.look()  # what is in the log before these comes first
            return
        for record in records:
            due = self._fetched.get(record.part)
            if due is None or record.offset < due:
                continue  # not ours, or seen already
            if record.offset > due:
                self.look()  # another has written in between
                return
            self._fetched[record.part] = due + 1
            self._ahead.append(record)
            self._waiting_bytes += len(record.value or b"")
            self._since[record.part] = _before(record.at_ms)
            self._woken.set()
        if len(self._ahead) >= SMALL:
            self._pace.moved()

    async def bounds(self, parts: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """Partition to (first offset still there, next offset to be written)."""
        try:
            # Not on our own connection: a poll may be under way there.
            async with self._db.raw() as pg:
                rows = await pg.fetch(BOUNDS, self.topic, list(parts))
        except asyncpg.PostgresError as error:
            raise translate(error) from error
        return {row["part"]: (row["first"], row["next"]) for row in rows}

    async def note(self, positions: Mapping[int, int]) -> None:
        """Nothing to do: the positions are in the same database, in `log.lease`."""

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        self._wakes.forget(self.topic, self)
        self._pace.leave(self)
        self._drop_connection()
        self._closed(self)

    async def _news(self, seconds: float) -> bool:
        """Wait until somebody says that there is something; False when nobody has."""
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    async def _fetch(self, max_records: int) -> None:
        if not self._fetched:
            return
        parts = sorted(self._fetched)
        limit = max(1, min(-(-max_records // self._active), int(FETCH_BYTES / self._bytes_each / self._active)))
        since = min(self._since.get(part, EVER) for part in parts)
        asked = [self._fetched[part] for part in parts]
        self._more = True  # until we know better: the query may fail
        self._told, self._fetching = False, True
        try:
            rows = await self._query(POLL, self.topic, parts, asked, limit, since)
        finally:
            self._fetching = False
        size = 0
        newest: dict[int, int] = {}
        for part, offset, key, value, at_ms in rows:
            if offset != self._fetched[part]:
                raise LogTruncated(
                    f"{self.topic} partition {part}: the next record to read is {self._fetched[part]}, but the log "
                    f"now begins at {offset}. Records were dropped by age before they were read; see the runbook, "
                    "position_outside_log"
                )
            self._fetched[part] = offset + 1
            self._ahead.append(Record(part, offset, key, value, at_ms))
            newest[part] = at_ms
            size += len(value or b"") + len(key or b"")
        # A partition that gave all that was asked for may have more; so may all when something came meanwhile.
        self._behind = len(rows) >= limit
        self._more = self._told or self._behind
        if not rows:
            self._pace.moved()
        if rows:
            self._active = max(1, len(newest))
            self._bytes_each = max(64.0, size / len(rows))
        for part, at_ms in newest.items():
            self._since[part] = _before(at_ms)

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


def _before(at_ms: int) -> datetime:
    """Times rise with offsets, so older days need not be opened again; milliseconds are rounded."""
    return datetime.fromtimestamp(at_ms / 1000 - 0.001, UTC)
