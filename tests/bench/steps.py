"""Where does the worker's CPU go? Scoring in this process, batch after batch, without a log and without overlap.

The steps are timed by CPU, not by the clock, so other processes on the machine hardly matter. PostgreSQL is real; what
the log and the loop cost beside this is the difference to the CPU that `scoring` prints.
"""

import gc
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from services.cli.first_start import seed
from services.directory.rows import DirectoryStore
from services.directory.store import DirectoryCache
from services.eventlog.core.murmur2 import partition_of
from services.eventlog.ports import Batch, Record, Staged
from services.migrations.run import migrate
from services.policy.cache import PolicyCache
from services.policy.store import PolicyStore
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.embedded import EmbeddedPostgres
from services.runtime.settings import Settings
from services.scoring.handler import events as handling
from services.scoring.handler.asked import Asked, Named
from services.scoring.handler.events import ScoringHandler
from services.scoring.store.metrics import Meters
from tests.bench.rig import PARTITIONS, POSTGRES
from tests.bench.traffic import Plan, events

BATCH = 2000
LEASES = """
INSERT INTO log.lease (stage, topic, part, owner, epoch, next_offset, expires_at)
SELECT 'scoring', 'tracking.events', part, 'bench', 1, 0, now() FROM generate_series(0, $1::int - 1) part"""


class Timer:
    """CPU seconds of this process, by step. Steps may lie inside others: each is charged for itself alone."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._open: list[str] = ["rest"]
        self._at = time.process_time()

    def turn(self) -> None:
        """Charge what was used since the last turn to the innermost open step."""
        now = time.process_time()
        self.spent[self._open[-1]] += now - self._at
        self._at = now

    def around(self, holder: Any, name: str, step: str) -> None:
        """Charge every call of `holder.name` to `step`."""
        inner: Callable[..., Any] = getattr(holder, name)

        def timed(*given: Any, **more: Any) -> Any:
            self.turn()
            self._open.append(step)
            try:
                return inner(*given, **more)
            finally:
                self.turn()
                self._open.pop()

        async def timed_async(*given: Any, **more: Any) -> Any:
            self.turn()
            self._open.append(step)
            try:
                return await inner(*given, **more)
            finally:
                self.turn()
                self._open.pop()

        waits = bool(getattr(inner, "__code__", None)) and inner.__code__.co_flags & 0x80
        setattr(holder, name, timed_async if waits else timed)


class Rows:
    """Stands where the outbox does: the row is written, its messages are encoded, nothing is sent."""

    direct = False

    def __init__(self, encode: Callable[[bytes], Any]) -> None:
        self._encode = encode
        self._published: list[int] = []
        self._seq = 0
        self.messages = 0

    def next_row(self, payload: bytes) -> Staged:
        """A row of our own lane."""
        self._seq += 1
        published, self._published = self._published, [self._seq]
        return Staged("bench", self._seq, payload, published)

    async def committed(self, staged: Staged | None = None) -> None:
        """Encode what would be sent."""
        if staged is not None:
            self.messages += len(self._encode(staged.payload))


def batches(plan: Plan) -> list[Batch]:
    """The traffic as the consumer hands it over."""
    at = dict.fromkeys(range(PARTITIONS), 0)
    made = []
    traffic = events(plan)
    while some := list(islice(traffic, BATCH)):
        records, first = [], {}
        for key, value in some:
            part = partition_of(key, PARTITIONS)
            first.setdefault(part, at[part])
            records.append(Record(part, at[part], key, value, int(plan.start.timestamp() * 1000)))
            at[part] += 1
        records.sort(key=lambda record: (record.part, record.offset))
        nexts = {part: at[part] for part in first}
        made.append(Batch("scoring", "tracking.events", records, first, nexts, dict.fromkeys(first, 1)))
    return made


async def measure(url: str, plan: Plan) -> None:
    """Score the plan and print the table."""
    db, settings, clock = Database(url), Settings(), SystemClock()
    await migrate(db)
    await seed(db, PolicyStore(db), DirectoryStore(db))
    listener = Listener(db)
    policies, directory = PolicyCache(db, listener, clock), DirectoryCache(db, listener)
    await policies.start()
    await directory.start()
    async with db.raw() as pg:
        await pg.execute("DELETE FROM log.lease")
        await pg.execute(LEASES, PARTITIONS)
    handler = ScoringHandler(
        db=db, settings=settings, policies=policies, directory=directory, clock=clock, meters=Meters()
    )
    outbox: Any = Rows(handler.encode)
    handler.outbox = outbox
    await handler.keep_partitions()
    timer = Timer()
    for holder, name, step in (
        (handler, "_decode", "decode"),
        (Named, "of", "look up"),
        (Named, "look_up", "look up"),
        (Asked, "completed", "look up"),
        (handling, "just_now", "look up"),
        (handler, "_fold", "fold"),
        (handling.material, "told", "what to tell"),
        (handling.material, "settle", "what to tell"),
        (handling, "Work", "arguments"),
        (handling.write, "arguments", "arguments"),
        (handler, "prepare", "rest of prepare"),
        (handler, "apply", "the call"),
        (outbox, "committed", "messages"),
        (handler._meters, "batch", "metrics"),
    ):
        timer.around(holder, name, step)
    work = batches(plan)
    gc.collect()
    gc.freeze()
    gc.disable()
    timer.turn()
    timer.spent.clear()
    count = 0
    for batch in work:
        prepared = await handler.prepare(batch)
        await handler.apply(batch, prepared)
        count += len(batch.records)
    timer.turn()
    gc.enable()
    backends = [psutil.Process(await backend_of(line)) for line in (handler._writing, handler._looking)]
    used = [sum(process.cpu_times()[:2]) / count * 1e6 for process in backends]
    total = sum(timer.spent.values()) / count * 1e6
    print(
        f"\nCPU µs an event in the worker, step by step: {count:,} records in batches of {BATCH}, {outbox.messages / count:.1%} material"
    )
    for step, seconds in timer.spent.most_common():
        print(f"  {step:18s}{seconds / count * 1e6:7.2f}")
    print(f"  {'together':18s}{total:7.2f}   PostgreSQL, writing {used[0]:.2f}, reading {used[1]:.2f}", flush=True)
    await handler.close()
    await directory.stop()
    await policies.stop()
    await db.close()


async def backend_of(line: Any) -> int:
    """Process id of the server's side of a connection."""
    async with line.use() as pg:
        return int(pg.get_server_pid())


async def main() -> None:
    """The table."""
    with TemporaryDirectory(prefix="lead-router-steps-") as folder:
        postgres = EmbeddedPostgres(Path(folder) / "database", extra=POSTGRES)
        url = await postgres.start()
        try:
            await measure(url, Plan(150_000))
        finally:
            await postgres.stop()
