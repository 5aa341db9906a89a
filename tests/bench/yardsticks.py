"""The yardsticks beside which our scoring is measured: as little as anybody could do on the same machine.

*Bare consume*: poll and throw away. *Bare full*: poll → decode → one fenced transaction a batch of at most 2,000
records (position, dedupe insert, decayed sum per lead and kind merged in SQL, outbox for crossings) → send → delete.
Bare full keeps no archive, no identity, no versions and no snapshots, and emits only crossings: it is the bare limit
of the job, not a product.
"""

import asyncio
import contextlib
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable

import asyncpg
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

BATCH = 2000
HALF_LIFE_S = 30 * 86_400.0
THRESHOLD = 25.0
TABLES = """
DROP SCHEMA IF EXISTS bare CASCADE;
CREATE SCHEMA bare;
CREATE TABLE bare.position (part int PRIMARY KEY, epoch int NOT NULL, next_offset bigint NOT NULL);
CREATE TABLE bare.seen (id uuid PRIMARY KEY);
CREATE TABLE bare.score (lead text, kind text, points float8 NOT NULL, at float8 NOT NULL, PRIMARY KEY (lead, kind)) WITH (fillfactor = 70);
CREATE TABLE bare.outbox (id bigserial PRIMARY KEY, payload bytea NOT NULL);
"""


class Flat(msgspec.Struct):
    """The yardstick's own event."""

    id: str
    lead: str
    kind: str
    weight: float
    at: float


async def consumer_of(bootstrap: str, topic: str) -> AIOKafkaConsumer:
    """All partitions of a topic from the start, without a group."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, max_poll_records=BATCH, max_partition_fetch_bytes=1 << 20
    )
    await consumer.start()
    found = await consumer._client.fetch_all_metadata()
    parts = [TopicPartition(topic, p) for p in sorted(found.partitions_for_topic(topic))]
    consumer.assign(parts)
    for part in parts:
        consumer.seek(part, 0)
    return consumer


async def bare_consume(bootstrap: str, topic: str, records: int) -> float:
    """Records a second of polling alone."""
    consumer = await consumer_of(bootstrap, topic)
    began, done = time.perf_counter(), 0
    try:
        while done < records:
            got = await consumer.getmany(timeout_ms=500, max_records=BATCH)
            done += sum(map(len, got.values()))
    finally:
        await consumer.stop()
    return records / (time.perf_counter() - began)


async def bare_full(  # noqa: PLR0917 where to, what from, and the meter
    bootstrap: str, dsn: str, topic: str, out: str, records: int, cpu: Callable[[], dict[str, float]] = dict
) -> tuple[float, dict[str, float]]:
    """Records a second of the bare job, and its CPU µs a record by party as `cpu` measures it."""
    pg = await asyncpg.connect(dsn)
    await pg.execute(TABLES)
    consumer = await consumer_of(bootstrap, topic)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=1 << 20)
    await producer.start()
    parts = sorted(p.partition for p in consumer.assignment())
    await pg.executemany("INSERT INTO bare.position VALUES ($1, 1, 0)", [(p,) for p in parts])
    decoder = msgspec.json.Decoder(Flat)
    before, began, done, sent = cpu(), time.perf_counter(), 0, [0]
    try:
        while done < records:
            got = await consumer.getmany(timeout_ms=500, max_records=BATCH)
            if not got:
                continue
            done += await _batch(pg, producer, decoder, got, out, sent)
    finally:
        took, after = time.perf_counter() - began, cpu()
        await consumer.stop()
        await producer.stop()
        await pg.close()
    return records / took, {party: (after[party] - before[party]) / records * 1e6 for party in after}


async def _batch(pg, producer, decoder, got, out, sent) -> int:  # noqa: PLR0917 what one turn of the loop has at hand
    firsts = [(tp.partition, rs[0].offset, rs[-1].offset + 1) for tp, rs in got.items() if rs]
    events = {}
    count = 0
    for records in got.values():
        count += len(records)
        for record in records:
            event = decoder.decode(record.value)
            events[event.id] = event
    async with pg.transaction():
        fenced = await pg.fetch(
            "UPDATE bare.position p SET next_offset = u.nxt FROM unnest($1::int[], $2::bigint[], $3::bigint[]) u(part, fst, nxt) "
            "WHERE p.part = u.part AND p.epoch = 1 AND p.next_offset <= u.fst RETURNING p.part",
            *map(list, zip(*firsts, strict=True)),
        )
        assert len(fenced) == len(firsts)
        ids = sorted(uuid.UUID(i) for i in events)
        fresh = await pg.fetch(
            "INSERT INTO bare.seen SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING RETURNING id", ids
        )
        sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, -math.inf])
        for row in fresh:
            event = events[str(row["id"])]
            entry = sums[event.lead, event.kind]
            at = max(entry[1], event.at)
            if entry[1] > -math.inf:
                entry[0] *= 2 ** ((entry[1] - at) / HALF_LIFE_S)
            entry[0] += event.weight * 2 ** ((event.at - at) / HALF_LIFE_S)
            entry[1] = at
        keys = sorted(sums)
        rows = await pg.fetch(
            "INSERT INTO bare.score AS s SELECT * FROM unnest($1::text[], $2::text[], $3::float8[], $4::float8[]) "
            "ON CONFLICT (lead, kind) DO UPDATE SET "
            "points = s.points * power(2, (s.at - greatest(s.at, excluded.at)) / $5) "
            "+ excluded.points * power(2, (excluded.at - greatest(s.at, excluded.at)) / $5), "
            "at = greatest(s.at, excluded.at) RETURNING lead, kind, points",
            [k[0] for k in keys],
            [k[1] for k in keys],
            [sums[k][0] for k in keys],
            [sums[k][1] for k in keys],
            HALF_LIFE_S,
        )
        crossed = [
            msgspec.json.encode({"lead": r["lead"], "kind": r["kind"], "points": r["points"]})
            for r in rows
            if r["points"] // THRESHOLD > (r["points"] - sums[r["lead"], r["kind"]][0]) // THRESHOLD
        ]
        if crossed:
            await pg.execute("INSERT INTO bare.outbox (payload) SELECT unnest($1::bytea[])", crossed)
    if crossed:
        batch = producer.create_batch()
        for value in crossed:
            batch.append(key=None, value=value, timestamp=None)
        sent[0] += len(crossed)
        await (await producer.send_batch(batch, out, partition=0))
        await pg.execute("DELETE FROM bare.outbox")
    return count


async def preload(bootstrap: str, topic: str, parts: int, records) -> int:
    """Write records to a topic with the batch API; partition by Kafka's own hash of the key."""
    from aiokafka.partitioner import murmur2

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=1 << 20)
    await producer.start()
    total = 0
    waiting: list[asyncio.Future] = []
    batches = [producer.create_batch() for _ in range(parts)]
    try:
        for key, value in records:
            part = (murmur2(key) & 0x7FFFFFFF) % parts
            if batches[part].append(key=key, value=value, timestamp=None) is None:
                waiting.append(await producer.send_batch(batches[part], topic, partition=part))
                batches[part] = producer.create_batch()
                batches[part].append(key=key, value=value, timestamp=None)
            total += 1
            if len(waiting) >= 24:
                await asyncio.gather(*waiting)
                waiting.clear()
        for part, batch in enumerate(batches):
            if batch.record_count():
                waiting.append(await producer.send_batch(batch, topic, partition=part))
        await asyncio.gather(*waiting)
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(producer.stop(), 10)
    return total
