"""A small app with an embedded PostgreSQL, to be killed by tests: `python -m tests.support.embedded_app FOLDER`.

Prints `ready <server pid> <rows>` once it has written one more row, then waits; ends clean on SIGTERM.
"""

import asyncio
import signal
import sys
from pathlib import Path

import asyncpg

from services.runtime.embedded import EmbeddedPostgres
from services.runtime.errors import Misconfigured
from services.runtime.telemetry import set_up_logging


async def _app(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    url = await server.start()
    pg = await asyncpg.connect(url)
    await pg.execute("CREATE TABLE IF NOT EXISTS kept (at timestamptz DEFAULT clock_timestamp())")
    await pg.execute("INSERT INTO kept DEFAULT VALUES")
    rows = await pg.fetchval("SELECT count(*) FROM kept")
    print("ready", server.pid, rows, flush=True)
    await over.wait()
    await pg.close()
    await server.stop()


if __name__ == "__main__":
    set_up_logging()  # to standard error: standard output is for the test
    try:
        asyncio.run(_app(Path(sys.argv[1])))
    except Misconfigured as error:
        print("misconfigured", error.code, error.message, flush=True)
        sys.exit(3)
