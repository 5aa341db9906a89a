"""kill -9 at every named step of the handler: afterwards there is one notice, once."""

import asyncio
import subprocess
import sys

import pytest

from schemas.messages import LeadRef
from services.notify.handler import routed as handler
from services.runtime.db import Database
from tests.integration.notify.conftest import Replica
from tests.unit.notify.messages import alert, handover

pytestmark = pytest.mark.needs_postgres

STEPS = [handler.LOOKED, handler.WRITTEN]

CHILD = """
import asyncio, sys
from services.runtime import crash
from services.runtime.db import Database
from tests.integration.notify.conftest import Replica

async def main():
    crash.arm(sys.argv[2])
    one = await Replica(Database(sys.argv[1], pool_size=4)).start()
    await asyncio.sleep(20)

asyncio.run(main())
"""


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at(step, database, database_url):
    writer = await Replica(database).start()
    anna = await writer.token(rep="anna")
    await writer.service.consumer.stop(3)
    lead = LeadRef(id="e" * 32)
    await writer.publish(("m1", handover(lead)), ("m2", alert(lead)))
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, database_url, step], capture_output=True, timeout=40, check=False
    )
    assert child.returncode == 137, child.stderr[-2000:]
    await writer.stop()
    db = Database(database_url, pool_size=4)
    after = await Replica(db).start()
    items = await after.caught_up(anna, 2)
    assert sorted(i["seq"] for i in items) == [1, 2]
    async with db.raw() as pg:
        assert await pg.fetchval("SELECT count(*) FROM notify.handled") == 2
    await after.stop()
    await db.close()
