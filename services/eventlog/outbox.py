"""How do messages leave for Kafka if, and only if, a transaction commits? Rows of `log.outbox`, in lanes.

A lane belongs to one process: its rows are written in the process's transactions and published by it in order of `seq`.
A row is deleted in a later transaction of the lane, or when the lane is idle. When a process is gone, its lanes are
emptied by whoever takes its partitions (`drain`), or by any process of the stage that sees the lane's lease run out.
A crash between publishing and deleting repeats messages; none is lost, and the order of a lane holds.

Why a lane a process and not a lane a source partition: a batch spans partitions, and what it sends about one lead may
come from several. Effects of a partition that was taken over lie in the lane of the owner before; `drain(gone)` empties
that lane before the partition is read. Owns `log.outbox` and `log.lane`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import asyncpg
import structlog

from schemas.codec import Message
from services.eventlog import metrics
from services.eventlog.core.packing import pack, unpack
from services.eventlog.deadletter import bury
from services.eventlog.fence import translate
from services.eventlog.lanes import DELETE, READ, ROWS_AT_ONCE, Lanes
from services.eventlog.ports import AppendArguments, Connection, DeadRecord, Encode, LogWriter, Place, Staged
from services.runtime import crash
from services.runtime.db import AWAY, Database
from services.runtime.errors import BadMessage, LeadRouterError, Unavailable
from services.runtime.settings import Settings

logger = structlog.get_logger(__name__)

INSERT: Final = """
WITH gone AS (DELETE FROM log.outbox WHERE stage = $1 AND lane = $2 AND seq = ANY ($5::bigint[]))
INSERT INTO log.outbox (stage, lane, seq, payload) VALUES ($1, $2, $3, $4)"""
NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM log.outbox WHERE stage = $1 AND lane = $2"
COUNT: Final = "SELECT count(*) FROM log.outbox WHERE stage = $1 AND starts_with(lane, $2)"

# Rows kept in memory until published; what waits beyond that is read from the table.
KEPT_ROWS: Final = 64
# From so many waiting rows on, `committed` waits for the publisher: it must not fall behind without bound.
WAIT_FROM: Final = 16
IDLE_S: Final = 0.2
RETRY_S: Final = (0.2, 5.0)
# A transaction that has not said `committed` for so long never will: no statement may run so long.
STAGED_MAX_S: Final = 60.0

COMMITTED: Final = crash.step("outbox.committed", "a row is committed, nothing of it is published")
PUBLISHED: Final = crash.step("outbox.published", "messages are published, their row is not deleted")


class RowOutbox:
    """The outbox of one writer, over any `LogWriter`.

    Args:
        lane: What for; the lane in the table is `lane@owner`.
        owner: This process; new at every start.
        encode: Makes messages of a payload; default: what `stage` packs.
    """

    direct: Final = False

    def __init__(  # noqa: PLR0917 made in open.py
        self,
        db: Database,
        writer: LogWriter,
        settings: Settings,
        owner: str,
        stage: str,
        lane: str,
        encode: Encode | None = None,
    ) -> None:
        self._db = db
        self._writer = writer
        self._stage = stage
        self._purpose = lane
        self._encode: Encode = encode or unpack
        self._packs = encode is None
        self._lanes = Lanes(db, settings, stage, lane, owner, self._publish, self._end)
        self._wait_s = 2 * settings.kafka_timeout_s
        self._seq = 0
        self._open: dict[int, float] = {}  # staged, not yet known to be committed, with the time
        self._ready: dict[int, bytes] = {}  # committed, to be published from memory
        self._published: set[int] = set()  # published, row not yet deleted
        self._deleting: dict[int, list[int]] = {}  # staged row to the published rows that its transaction deletes
        self._early: set[int] = set()  # read from the table and published before `committed` was told
        self._reread = False  # the table may hold committed rows that are not in _ready
        self._busy = False
        self._trouble: str | None = None
        self._failed: Exception | None = None
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()  # set after each round of the publisher
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # -- in the transaction

    async def stage(self, pg: Connection, messages: Sequence[Message]) -> Staged | None:
        """Write one row with all of `messages`."""
        if not messages:
            return None
        if not self._packs:
            raise TypeError("this outbox has its own encode=: use stage_payload")
        return await self.stage_payload(pg, pack(messages))

    async def stage_payload(self, pg: Connection, payload: bytes) -> Staged | None:
        """Write one row; delete those already published."""
        row = self.next_row(payload)
        await pg.execute(INSERT, self._stage, row.lane, row.seq, row.payload, row.published)
        return row

    def append_arguments(self, messages: Sequence[Message]) -> AppendArguments:  # noqa: ARG002 the port's shape
        """Not with this log: see `direct`."""
        raise TypeError("with Kafka messages go through outbox rows: ask `direct` first")

    def appended(self, arguments: AppendArguments, places: Iterable[Place]) -> Staged:  # noqa: ARG002 the port's shape
        """Not with this log: see `direct`."""
        raise TypeError("with Kafka messages go through outbox rows: ask `direct` first")

    def next_row(self, payload: bytes) -> Staged:
        """The row that a transaction of the caller's own should write, and those that it should delete."""
        self._check()
        self._start()
        self._seq += 1
        self._open[self._seq] = asyncio.get_running_loop().time()
        published = sorted(self._published)
        self._published.clear()
        self._deleting[self._seq] = published
        return Staged(self._lanes.mine, self._seq, payload, published)

    # -- after the commit

    async def committed(self, staged: Staged | None = None) -> None:
        """Publish in the background; waits only while too much is waiting."""
        self._check()
        self._start()
        if staged is None:
            self._reread = True
        else:
            self._settle(staged)
        self._wake.set()
        depth = len(self._ready)
        metrics.OUTBOX_DEPTH.labels(self._stage, self._purpose).set(depth)
        if depth >= WAIT_FROM and self._trouble is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._until(lambda: len(self._ready) < WAIT_FROM), self._wait_s)

    def _settle(self, staged: Staged) -> None:
        now = asyncio.get_running_loop().time()
        self._open.pop(staged.seq, None)
        self._deleting.pop(staged.seq, None)  # deleted, as of the commit
        if staged.seq in self._early:
            self._early.discard(staged.seq)
            return
        # A lower row whose fate we do not know may have been committed before this one, in another task: only the
        # table knows their order. Rolled-back rows look the same until they are too old to be anything else.
        for seq in [seq for seq, at in self._open.items() if now - at > STAGED_MAX_S]:
            del self._open[seq]
            self._published.update(self._deleting.pop(seq, ()))
        if any(seq < staged.seq for seq in self._open) or len(self._ready) >= KEPT_ROWS:
            self._reread = True
        if self._reread:
            return  # read with the others, in order
        self._ready[staged.seq] = staged.payload

    def rolled_back(self, staged: Staged) -> None:
        """The transaction of `staged` is undone. Not needed for correctness: it spares reading the table for a while."""
        self._open.pop(staged.seq, None)
        self._published.update(self._deleting.pop(staged.seq, ()))

    async def flush(self, seconds: float) -> bool:
        """Wait until all that was committed is published."""
        if self._task is None:
            return True
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until(lambda: not self._waits()), seconds)
        return not self._waits()

    async def waiting(self) -> int:
        """Rows of this stage and lane in the table, all processes together."""
        async with self._db.raw() as pg:
            return int(await pg.fetchval(COUNT, self._stage, f"{self._purpose}@"))

    async def drain(self, gone: Sequence[str] = ()) -> None:
        """Empty our own lane, those of `gone` owners, and those that nobody keeps alive."""
        self._check()
        try:
            await self._lanes.beat()
            async with self._db.raw() as pg:
                self._seq = max(self._seq, await pg.fetchval(NEWEST, self._stage, self._lanes.mine))
            self._start()
            self._reread = True
            await self._publish_all()
            await self._lanes.sweep(gone)
        except (asyncpg.PostgresError, *AWAY) as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Stop; what is not published stays in the table, for others at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            with contextlib.suppress(Unavailable, asyncpg.PostgresError):
                await self._delete_published()
            await self._lanes.close()

    # -- the publisher

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._publisher(), name=f"outbox {self._stage} {self._lanes.mine}")
            self._lanes.start()

    def _waits(self) -> bool:
        return bool(self._ready) or self._reread or self._busy

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    async def _publisher(self) -> None:
        tries = 0
        while True:
            idle = IDLE_S if self._published else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), idle)
            woken = self._wake.is_set()
            self._wake.clear()
            try:
                if woken or self._trouble is not None:
                    await self._publish_all()
                else:
                    await self._delete_published()
                tries, self._trouble = 0, None
            except (LeadRouterError, asyncpg.PostgresError, *AWAY) as raised:
                error = translate(raised)
                if not isinstance(error, Unavailable):
                    self._end(error)
                    return
                tries += 1
                self._reread = True
                self._trouble = error.message
                logger.warning(
                    "messages wait in the outbox", stage=self._stage, lane=self._lanes.mine, why=error.message
                )
                self._moved.set()
                await asyncio.sleep(min(RETRY_S[1], RETRY_S[0] * 2 ** min(tries - 1, 8)))
                self._wake.set()
            except Exception as error:  # noqa: BLE001 not swallowed, every later call raises it
                self._end(error)
                return

    def _end(self, error: Exception) -> None:
        logger.critical("outbox stops", stage=self._stage, lane=self._lanes.mine, error=str(error), exc_info=error)
        self._failed = error
        self._moved.set()

    async def _publish_all(self) -> None:
        async with self._one_at_a_time:
            self._busy = True
            try:
                while self._ready or self._reread:
                    rows = await self._next_rows()
                    if not rows:
                        continue
                    crash.reach(COMMITTED)
                    await self._publish(rows)
                    crash.reach(PUBLISHED)
                    for seq, _ in rows:
                        self._ready.pop(seq, None)
                        self._published.add(seq)
                    self._moved.set()
            finally:
                self._busy = False
                self._moved.set()

    async def _next_rows(self) -> list[tuple[int, bytes]]:
        if not self._reread:
            return sorted(self._ready.items())[:ROWS_AT_ONCE]
        known = {*self._published, *(seq for seqs in self._deleting.values() for seq in seqs)}
        self._reread = False  # before the query: what is committed during it asks for another
        try:
            async with self._db.raw() as pg:
                rows = await pg.fetch(READ, self._stage, self._lanes.mine, list(known), ROWS_AT_ONCE)
        except BaseException:
            self._reread = True
            raise
        if len(rows) == ROWS_AT_ONCE:
            self._reread = True
        for row in rows:
            # It is in the table, so it is committed, whether `committed` has been told or not.
            if self._open.pop(row["seq"], None) is not None:
                self._early.add(row["seq"])
                self._deleting.pop(row["seq"], None)
        return [(row["seq"], row["payload"]) for row in rows]

    async def _publish(self, rows: Sequence[tuple[int, bytes]]) -> None:
        messages = [message for _, payload in rows for message in self._encode(payload)]
        try:
            if messages:
                await self._writer.publish(messages)
        except BadMessage:
            # Rare and final: find it, bury it, let its neighbours go.
            for seq, payload in rows:
                for place, message in enumerate(self._encode(payload)):
                    try:
                        await self._writer.publish([message])
                    except BadMessage as error:
                        await self._bury(seq, place, message, error)

    async def _bury(self, seq: int, place: int, message: Message, error: BadMessage) -> None:
        logger.error("a message cannot be published", topic=message.topic, why=error.message)
        dead = DeadRecord(
            part=-1,
            offset=seq * 1_000_000 + place,
            reason=error.code,
            detail=f"{self._lanes.mine}: {error.message}",
            key=message.key,
            value=message.value,
        )
        async with self._db.transaction() as pg:
            await bury(pg, self._stage, message.topic, [dead])

    async def _delete_published(self) -> None:
        seqs = sorted(self._published)
        if seqs:
            async with self._db.raw() as pg:
                await pg.execute(DELETE, self._stage, self._lanes.mine, seqs)
            self._published.difference_update(seqs)
