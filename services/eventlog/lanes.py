"""Whose outbox lanes are alive, and who empties those that are not? Leases of lanes, by the database's clock.

A lane `purpose@owner` is kept alive by its owner's heartbeat. Any process with the same stage and purpose empties a lane
whose owner is gone, one at a time. Owns `log.lane`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import asyncpg
import structlog

from services.runtime import crash
from services.runtime.db import AWAY, Database
from services.runtime.errors import LeadRouterError, Unavailable
from services.runtime.settings import Settings

logger = structlog.get_logger(__name__)

Row = tuple[int, bytes]  # seq and payload

READ: Final = """
SELECT seq, payload FROM log.outbox
 WHERE stage = $1 AND lane = $2 AND seq <> ALL ($3::bigint[]) ORDER BY seq LIMIT $4"""
DELETE: Final = "DELETE FROM log.outbox WHERE stage = $1 AND lane = $2 AND seq = ANY ($3::bigint[])"
LIVE: Final = """
INSERT INTO log.lane (stage, lane, owner, expires_at) VALUES ($1, $2, $3, clock_timestamp() + $4::interval)
ON CONFLICT (stage, lane) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at"""
DEAD_LANES: Final = """
SELECT l.lane FROM log.lane l
 WHERE l.stage = $1 AND starts_with(l.lane, $2) AND l.lane <> $3
   AND (l.expires_at <= clock_timestamp() OR l.lane = ANY ($4::text[]))
   AND EXISTS (SELECT 1 FROM log.outbox o WHERE o.stage = l.stage AND o.lane = l.lane)"""
ADOPT: Final = """
UPDATE log.lane SET owner = $3, expires_at = clock_timestamp() + $4::interval
 WHERE stage = $1 AND lane = $2 AND (expires_at <= clock_timestamp() OR owner = $3 OR $5)"""
LEAVE: Final = "UPDATE log.lane SET expires_at = clock_timestamp() WHERE stage = $1 AND lane = $2 AND owner = $3"
FORGET: Final = """
DELETE FROM log.lane l WHERE l.stage = $1 AND l.expires_at < clock_timestamp() - interval '1 day'
   AND NOT EXISTS (SELECT 1 FROM log.outbox o WHERE o.stage = l.stage AND o.lane = l.lane)"""
ROWS_AT_ONCE: Final = 32
ADOPTED: Final = crash.step("outbox.adopted", "messages of a lane taken over are published, their rows not deleted")


class Lanes:
    """The lanes of one stage and purpose, seen by one process.

    Args:
        publish: Publishes rows of any lane, in order.
        on_bug: Told when the sweeper has ended by a bug.
    """

    def __init__(  # noqa: PLR0917 made by the outbox alone
        self,
        db: Database,
        settings: Settings,
        stage: str,
        purpose: str,
        owner: str,
        publish: Callable[[Sequence[Row]], Awaitable[None]],
        on_bug: Callable[[Exception], None],
    ) -> None:
        self._db = db
        self._stage = stage
        self._prefix = f"{purpose}@"
        self._owner = owner
        self._publish = publish
        self._on_bug = on_bug
        self._lease = timedelta(seconds=settings.lease_s)
        self._heartbeat_s = settings.heartbeat_s
        self._one_at_a_time = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        # Our own lane.
        self.mine = self._prefix + owner

    def start(self) -> None:
        """Keep our lane alive and look for those that are not, in the background."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._keep_alive(), name=f"outbox lane {self._stage} {self.mine}"),
                asyncio.create_task(self._keep_sweeping(), name=f"outbox lanes {self._stage} {self._prefix}"),
            ]

    async def close(self) -> None:
        """Let our lane go at once: what is left in it is for others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        with contextlib.suppress(Unavailable, asyncpg.PostgresError):
            async with self._db.raw() as pg:
                await pg.execute(LEAVE, self._stage, self.mine, self._owner)

    async def beat(self) -> None:
        """Our lane lives."""
        async with self._db.raw() as pg:
            await pg.execute(LIVE, self._stage, self.mine, self._owner, self._lease)

    async def sweep(self, gone: Sequence[str] = ()) -> None:
        """Empty the lanes of `gone` owners, and those whose lease has run out."""
        forced = [self._prefix + owner for owner in gone]
        async with self._one_at_a_time:
            async with self._db.raw() as pg:
                lanes = await pg.fetch(DEAD_LANES, self._stage, self._prefix, self.mine, forced)
            for row in lanes:
                await self._empty(row["lane"], forced=row["lane"] in forced)

    async def _empty(self, lane: str, *, forced: bool) -> None:
        """Publish what a lane holds, as long as we are the one who has adopted it."""
        count = 0
        while True:
            async with self._db.raw() as pg:
                taken = await pg.execute(ADOPT, self._stage, lane, self._owner, self._lease, forced)
                rows = await pg.fetch(READ, self._stage, lane, [], ROWS_AT_ONCE) if taken == "UPDATE 1" else []
            if taken != "UPDATE 1":
                return
            if not rows:
                break
            await self._publish([(row["seq"], row["payload"]) for row in rows])
            crash.reach(ADOPTED)
            async with self._db.raw() as pg:
                await pg.execute(DELETE, self._stage, lane, [row["seq"] for row in rows])
            count += len(rows)
            forced = False
        async with self._db.raw() as pg:
            await pg.execute(LEAVE, self._stage, lane, self._owner)
            await pg.execute(FORGET, self._stage)
        logger.info("outbox lane of another process emptied", stage=self._stage, lane=lane, rows=count)

    async def _keep_alive(self) -> None:
        while True:
            with contextlib.suppress(LeadRouterError, asyncpg.PostgresError, *AWAY):
                await self.beat()
            await asyncio.sleep(self._heartbeat_s)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            try:
                await self.sweep()
            except (LeadRouterError, asyncpg.PostgresError, *AWAY) as error:
                logger.warning("outbox lanes of others: put off", stage=self._stage, why=str(error))
            except Exception as error:  # noqa: BLE001 not swallowed: every later call of the outbox raises it
                self._on_bug(error)
                return
