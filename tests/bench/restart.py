"""How long until a killed scoring worker's work goes on: kill -9, start, first position that moves."""

import asyncio
import signal
import time

import asyncpg

from services.cli.first_start import seed
from services.directory.rows import DirectoryStore
from services.migrations.run import migrate
from services.policy.store import PolicyStore
from services.runtime.db import Database
from tests.bench import rig as rigs
from tests.bench.rig import PARTITIONS, end, make_topic
from tests.bench.scoring import POSITIONS
from tests.bench.traffic import Plan, events
from tests.bench.yardsticks import preload
from tests.e2e.product import free_port


async def main() -> None:
    """One kill, with a standby and without."""
    print("\nSeconds to work again after kill -9 of the scoring worker (lease 10 s)")
    async with rigs.rig() as r:
        await make_topic(r.bootstrap, "tracking.events")
        records = await preload(r.bootstrap, "tracking.events", PARTITIONS, events(Plan(400_000)))
        for title, standby in (("started again at once", False), ("a second replica takes over", True)):
            url = await r.fresh_database(f"restart_{int(standby)}")
            db = Database(url)
            await migrate(db)
            await seed(db, PolicyStore(db), DirectoryStore(db))
            await db.close()
            pg = await asyncpg.connect(url)
            workers = [r.spawn("scoring", free_port(), url) for _ in range(2 if standby else 1)]
            while int(await pg.fetchval(POSITIONS)) < records // 10:
                await asyncio.sleep(0.05)
            end(workers[0], signal.SIGKILL)
            began = time.perf_counter()
            held = {
                row["part"]: row["next_offset"]
                for row in await pg.fetch(
                    "SELECT part, next_offset FROM log.lease WHERE stage = 'scoring' AND topic = 'tracking.events'"
                )
            }
            if not standby:
                workers.append(r.spawn("scoring", free_port(), url))
            waiting = set(held)
            while waiting and time.perf_counter() - began < 60:
                await asyncio.sleep(0.05)
                for row in await pg.fetch(
                    "SELECT part, next_offset FROM log.lease WHERE stage = 'scoring' AND topic = 'tracking.events'"
                ):
                    if row["next_offset"] > held[row["part"]]:
                        waiting.discard(row["part"])
            print(f"  {title:30s} every partition moves again after {time.perf_counter() - began:.1f} s", flush=True)
            await pg.close()
            for worker in workers:
                end(worker)
