"""Deliveries a second to one endpoint of each kind, against a far side on this machine; beside bare POSTs without a queue."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
from sqlalchemy.engine import make_url

from services.migrations.run import migrate
from services.runtime.db import Database
from services.runtime.embedded import EmbeddedPostgres
from services.runtime.outgoing import Outgoing
from services.runtime.settings import Settings
from tests.bench.rig import POSTGRES
from tests.integration.notify.far import Rig, notice, put
from tests.support import farside
from tests.support.farside import Answer, FarSide, Request
from tests.support.postgres import execute, url_of
from tests.support.workspace import Workspace

COUNT = 1000
REPS = 20
AT_ONCE = 4


class Fleeting(FarSide):
    """Answers; keeps how many came, not what."""

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        alive = await super()._one(reader, writer)
        self.total = getattr(self, "total", 0) + len(self.requests)
        self.requests.clear()
        return alive


def slack(workspace: Workspace) -> farside.Said:
    """A workspace that keeps nothing."""

    def answer(request: Request) -> Answer:
        said = workspace(request)
        workspace.messages.clear()
        return said

    return answer


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[Database]:
    """A PostgreSQL of the bench, migrated."""
    folder = Path(tempfile.mkdtemp(prefix="lead-router-bench-"))
    server = EmbeddedPostgres(folder, extra=POSTGRES)
    try:
        url = url_of(make_url(await server.start(supervised=False)).render_as_string(hide_password=False), "postgres")
        await execute(url, "CREATE DATABASE deliveries")
        db = Database(url_of(url, "deliveries"), pool_size=10)
        await migrate(db)
        yield db
        await db.close()
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    used = psutil.Process().cpu_times()
    return used.user + used.system


async def bare(url: str) -> tuple[float, float]:
    """POSTs a second with the same client, as many at once, nothing kept; and CPU µs of one."""
    http = Outgoing(Settings(outgoing_networks="127.0.0.0/8"), url, by_operator=False)
    left = iter(range(COUNT))

    async def some() -> None:
        for _ in left:
            await http.call("POST", "", {"content-type": "application/json"}, b"x" * 1500)

    spent, began = cpu_s(), time.perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    await http.close()
    return COUNT / took, (cpu_s() - spent) / COUNT * 1e6


async def one(db: Database, kind: str, said: farside.Said, baseline: float, **values: str) -> None:
    """Plan and deliver `COUNT` notices by one endpoint."""
    async with Fleeting(said) as far:
        rig = Rig(db, per_hour=60)
        named = {name: value.replace("URL", far.url) for name, value in values.items()}
        made = await rig.add(kind, name=kind, feed=True, concurrency=AT_ONCE, **named)
        async with db.raw() as pg:
            # The vendors' own rates would be all that is measured.
            await pg.execute("UPDATE notify.endpoint SET per_s = 100000")
        for rep in range(REPS):
            await put(db, *(notice(rig.clock, rep=f"{kind}-{rep}") for _ in range(COUNT // REPS)))
        began = time.perf_counter()
        planned = await rig.planner.turn()
        planning = time.perf_counter() - began
        before, began = cpu_s(), time.perf_counter()
        await rig.listener.start()
        await rig.deliverer.start()
        async with db.raw() as pg:
            while await pg.fetchval("SELECT count(*) FROM notify.delivery WHERE endpoint = $1 AND state = 'due'", made):
                await asyncio.sleep(0.1)
        took = time.perf_counter() - began
        spent = (cpu_s() - before) / planned * 1e6
        await rig.stop()
        async with db.raw() as pg:
            bad = await pg.fetchval(
                "SELECT count(*) FROM notify.delivery WHERE endpoint = $1 AND state <> 'delivered'", made
            )
        rate = planned / took
        print(
            f"  {kind:14s}{rate:>8,.0f} deliveries/s ({rate / baseline:.2f} of bare POSTs), CPU µs a delivery, far side included: {spent:,.0f};"
            f" planned {planned / planning:,.0f}/s{f'; {bad} NOT DELIVERED' if bad else ''}",
            flush=True,
        )
        await rig.store.delete(made)


async def main() -> None:
    """Each kind in turn."""
    print(
        f"\nDeliveries: {COUNT} notices to one endpoint of each kind, {AT_ONCE} at once, far side in the same process"
    )
    async with database() as db:
        async with Fleeting(farside.ok()) as far:
            baseline, spent = await bare(far.url)
        print(
            f"  {'bare POSTs':14s}{baseline:>8,.0f} a second, CPU µs of one, far side included: {spent:,.0f}",
            flush=True,
        )
        await one(db, "webhook", farside.ok(), baseline, url="URL")
        await one(db, "slack_webhook", farside.text("ok"), baseline, url="URL")
        await one(db, "slack_bot", slack(Workspace()), baseline, token="xoxb-test", api="URL", channel="C1")
        await one(db, "teams", farside.status(202), baseline, url="URL")


if __name__ == "__main__":
    asyncio.run(main())
