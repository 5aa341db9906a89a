"""A process that plans and sends until it is killed at a named step: `python -m … DATABASE_URL STEP`."""

import asyncio
import sys

from services.runtime import crash
from services.runtime.db import Database
from tests.integration.notify.far import Rig


async def main(url: str, step: str) -> None:
    """Run for ever."""
    crash.arm(step)
    await Rig(Database(url, pool_size=3)).start()
    await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
