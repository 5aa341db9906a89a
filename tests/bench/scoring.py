"""Scoring, effect once, on real Kafka and PostgreSQL, beside bare full and bare consume in the same run."""

import asyncio
import os
import statistics
import time
from dataclasses import dataclass

import asyncpg

from schemas.topics import FLOW
from services.cli.first_start import seed
from services.directory.rows import DirectoryStore
from services.migrations.run import migrate
from services.policy.store import PolicyStore
from services.runtime.db import Database
from tests.bench import rig as rigs
from tests.bench.rig import PARTITIONS, Rig, drop_topics, end, make_topic
from tests.bench.traffic import Plan, average_bytes, events, plain_events
from tests.bench.yardsticks import bare_consume, bare_full, preload
from tests.e2e.product import free_port

POSITIONS = "SELECT coalesce(sum(greatest(next_offset, 0)), 0) FROM log.lease WHERE stage = 'scoring' AND topic = 'tracking.events'"


@dataclass
class Ours:
    """One run of our scoring stage."""

    rate: float
    cpu_us: dict[str, float]
    wal_bytes: float
    material: float
    events: int


async def ours(r: Rig, records: int, number: int, workers: int = 1) -> Ours:
    """Score what lies in tracking.events with fresh state; counts from the first batch to the last."""
    await drop_topics(r.bootstrap, *(t.name for t in FLOW if t.name != "tracking.events"))
    url = await r.fresh_database(f"bench_{number}")
    db = Database(url)
    try:
        await migrate(db)
        await seed(db, PolicyStore(db), DirectoryStore(db))
    finally:
        await db.close()
    ports = [free_port() for _ in range(workers)]
    processes = [r.spawn("scoring", port, url) for port in ports]
    pg = await asyncpg.connect(url)
    try:
        began, begun, before, wal = 0.0, 0, {}, 0
        limit = time.monotonic() + 120 + records / 2000
        while True:
            done = int(await pg.fetchval(POSITIONS))
            now = time.perf_counter()
            if done and not began:
                began, begun = now, done
                before, wal = r.cpu_of(*(p.pid for p in processes)), await r.wal()
            if done >= records:
                break
            if any(p.poll() is not None for p in processes) or time.monotonic() > limit:
                raise RuntimeError(f"scoring stopped at {done} of {records}: {r.log_of('scoring', ports[0])}")
            await asyncio.sleep(0.01)
        took, after = now - began, r.cpu_of(*(p.pid for p in processes))
        counted = records - begun
        written = await r.wal() - wal
        kept = int(await pg.fetchval("SELECT count(*) FROM scoring.event"))
        emitted = int(await pg.fetchval("SELECT coalesce(sum(version), 0) FROM scoring.lead"))
    finally:
        await pg.close()
        for process in processes:
            end(process)
    cpu = {party: (after[party] - before[party]) / counted * 1e6 for party in after}
    return Ours(counted / took, cpu, written / counted, emitted / records, kept)


async def compare(r: Rig, title: str, plan: Plan, *, rounds: int = 3, workers: int = 1) -> None:
    """Interleave the contestants `rounds` times and print medians and ratios."""
    await drop_topics(r.bootstrap, "tracking.events", "bench.bare", "bench.out", *(t.name for t in FLOW))
    for topic in ("tracking.events", "bench.bare", "bench.out"):
        await make_topic(r.bootstrap, topic)
    sample = [pair for pair, _ in zip(events(plan), range(2000), strict=False)]
    records = await preload(r.bootstrap, "tracking.events", PARTITIONS, events(plan))
    await preload(r.bootstrap, "bench.bare", PARTITIONS, plain_events(plan))
    consume, bare, scored = [], [], []
    for number in range(rounds):
        consume.append(await bare_consume(r.bootstrap, "bench.bare", records))
        url = await r.fresh_database("bench_bare")
        bare.append(
            await bare_full(r.bootstrap, url, "bench.bare", "bench.out", records, lambda: r.cpu_of(os.getpid()))
        )
        scored.append(await ours(r, records, number, workers))
        print(
            f"  round {number + 1}: bare full {bare[-1][0]:,.0f}/s, ours {scored[-1].rate:,.0f}/s = {scored[-1].rate / bare[-1][0]:.2f}",
            flush=True,
        )
    full, rate = statistics.median(b[0] for b in bare), statistics.median(s.rate for s in scored)
    one = sorted(scored, key=lambda s: s.rate)[len(scored) // 2]
    plain = sorted(bare, key=lambda b: b[0])[len(bare) // 2][1]
    print(f"\n{title}: {records:,} records of {average_bytes(sample):.0f} B, {rounds} interleaved rounds, medians")
    print(
        f"  {'bare consume':22s}{statistics.median(consume):>12,.0f} /s {statistics.median(consume) / full:>6.2f} x bare full"
    )
    print(f"  {'bare full':22s}{full:>12,.0f} /s {1:>6.2f}")
    print(
        f"  {'ours, effect once':22s}{rate:>12,.0f} /s {rate / full:>6.2f} x bare full   ({one.material:.1%} material)"
    )
    print(
        f"  CPU µs an event, ours:      {_spent(one.cpu_us)}; WAL {one.wal_bytes:.0f} B an event\n"
        f"  CPU µs an event, bare full: {_spent(plain)}; ours takes {sum(one.cpu_us.values()) / sum(plain.values()):.2f} x as much",
        flush=True,
    )


def _spent(cpu_us: dict[str, float]) -> str:
    return ", ".join(f"{party} {used:.1f}" for party, used in cpu_us.items())


async def main(*, full: bool) -> None:
    """300,000 records by one worker and by two; with `full` also 90 days, 1.2 million records and a million cold keys."""
    async with rigs.rig() as r:
        await compare(r, "scoring, Zipf over 20,000 people, live times", Plan(300_000))
        await compare(r, "scoring, two workers", Plan(300_000), workers=2)
        if full:
            await compare(r, "scoring, Zipf over 20,000 people, 90 days", Plan(300_000, days=90), rounds=2)
            await compare(r, "scoring, 1.2 million records, Zipf", Plan(1_200_000), rounds=2)
            await compare(
                r,
                "scoring, uniform over a million people (cold)",
                Plan(300_000, people=1_000_000, keys="uniform"),
                rounds=2,
            )
            await compare(r, "scoring, 1.2 million records, Zipf, two workers", Plan(1_200_000), rounds=2, workers=2)
