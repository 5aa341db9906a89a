"""A process that reads the source of a `Kit` into the ledger and sends it on, to be killed by tests.

Usage: python -m tests.support.log_worker URL KAFKA|- CRASH_AT|- [patient]
`patient` has a lease so long that nobody waits for its end.
Runs until SIGTERM, or until it reaches the step at which it is told to die.
"""

import asyncio
import signal
import sys

from services.runtime import crash
from tests.support.logs import Kit, Ledger, consumer, quick


async def main(url: str, kafka: str, crash_at: str, patience: str = "") -> None:
    """Work until told to stop."""
    times = {"lease_s": 120, "heartbeat_s": 2} if patience else {}
    kit = await Kit(url, quick(kafka=None if kafka == "-" else kafka, batch_max_records=50, **times)).open()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    crash.arm(None if crash_at == "-" else crash_at)
    loop = consumer(kit, Ledger(kit, outbox=kit.log.outbox("scoring", "batch")), on_fatal=lambda _: stop.set())
    await loop.start()
    await stop.wait()
    await loop.stop(5)
    await kit.close()
    if loop.failed is not None:
        raise loop.failed


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
