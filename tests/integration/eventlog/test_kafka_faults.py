"""Kafka that dies, stands still or refuses: every call ends in time, nothing acknowledged is lost, all goes on by itself."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.codec import Message
from services.eventlog.kafka_write import MESSAGE_BYTES
from services.runtime.errors import BadMessage, Misconfigured, Unavailable
from tests.support.kafka import Cluster
from tests.support.logs import LEDGER, Kit, Ledger, consumer, quick, read_all, until

pytestmark = [pytest.mark.needs_postgres, pytest.mark.needs_kafka]
MakeCluster = Callable[[int], Awaitable[Cluster]]


@pytest.fixture
async def kit(kafka: str, database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick(kafka=kafka, kafka_timeout_s=2.0)).open()
    yield made
    await made.close()


async def test_nobody_answers(database_url: str) -> None:
    kit = Kit(database_url, quick(kafka="127.0.0.1:9"))
    async with asyncio.timeout(60):  # whatever is not bounded tries for ever
        with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:9 does not answer"):
            await kit.log.ensure_topics()
        with pytest.raises(Unavailable, match="does not answer"):
            await kit.fill(1)
        assert "does not answer" in (await kit.log.healthy() or "")
        await kit.close()


async def test_a_message_too_large_is_refused_alone(kit: Kit) -> None:
    large = Message(topic=kit.source, key=b"k", value=b"x" * (MESSAGE_BYTES + 1))
    with pytest.raises(BadMessage, match="bytes, the log takes"):
        await kit.log.writer().publish([large])
    just = Message(topic=kit.source, key=b"k", value=b"x" * (MESSAGE_BYTES - 1))
    await kit.log.writer().publish([just, just])
    assert len(await read_all(kit.log, kit.source, 2)) == 2


async def test_a_topic_that_takes_less_refuses_the_large_ones_only(kafka: str, database_url: str) -> None:
    kit = Kit(database_url, quick(kafka=kafka))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(kit.source, 4, 1, topic_configs={"max.message.bytes": "2000"})])
    await admin.close()
    await kit.open()
    small = [Message(topic=kit.source, key=b"k", value=b"%d" % n) for n in range(3)]
    large = Message(topic=kit.source, key=b"k", value=b"x" * 5000)
    sent = await asyncio.gather(
        kit.log.writer().publish([small[0]]),
        kit.log.writer().publish([large]),
        kit.log.writer().publish([small[1]]),
        return_exceptions=True,
    )
    assert [type(result) for result in sent] == [type(None), BadMessage, type(None)]
    await kit.log.writer().publish([small[2]])
    assert {record.value for record in await read_all(kit.log, kit.source, 3)} == {b"0", b"1", b"2"}
    await kit.close()


async def test_more_replicas_than_brokers_is_said_at_start(kafka: str, database_url: str) -> None:
    kit = Kit(database_url, quick(kafka=kafka, kafka_replication=3))
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_KAFKA_REPLICATION"):
        await kit.log.ensure_topics()
    await kit.close()


async def test_a_broker_that_is_killed_and_comes_back(kafka_cluster: MakeCluster, database_url: str) -> None:
    cluster = await kafka_cluster(1)
    kit = await Kit(database_url, quick(kafka=cluster.bootstrap, kafka_timeout_s=3.0)).open()
    async with kit.db.raw() as pg:
        await pg.execute(LEDGER)
    handler = Ledger(kit, outbox=kit.log.outbox("scoring", "batch"))
    loop = consumer(kit, handler)
    await loop.start()
    await kit.fill(50)
    await until(lambda: kit.has(50))
    cluster.kill(1)
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await kit.fill(1, 10_000)
    await asyncio.sleep(1)
    assert loop.failed is None
    await asyncio.to_thread(cluster.start, 1)
    await cluster.ready()
    acknowledged = 50
    for _ in range(60):
        try:
            await kit.fill(10, acknowledged)
        except Unavailable:
            await asyncio.sleep(0.2)
            continue
        acknowledged += 10
        if acknowledged >= 100:
            break
    assert acknowledged >= 100
    numbers = set(range(acknowledged))

    async def all_there() -> bool:
        async with kit.db.raw() as pg:
            rows = await pg.fetch("SELECT DISTINCT value FROM ledger")
        return numbers <= {int(row["value"]) for row in rows}

    await until(all_there, 30)
    assert await handler.outbox.flush(20)  # type: ignore[union-attr]
    sent = {int(record.value) for record in await read_all(kit.log, kit.sink, acknowledged)}
    assert numbers <= sent
    await loop.stop(5)
    await kit.close()


async def test_a_broker_that_stands_still_hangs_nobody(kafka_cluster: MakeCluster, database_url: str) -> None:
    cluster = await kafka_cluster(1)
    kit = await Kit(database_url, quick(kafka=cluster.bootstrap, kafka_timeout_s=3.0)).open()
    async with kit.db.raw() as pg:
        await pg.execute(LEDGER)
    loop = consumer(kit, Ledger(kit))
    await loop.start()
    await kit.fill(10)
    await until(lambda: kit.has(10))
    cluster.nodes[1].send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)  # its threads stop one after the other
    try:
        # A broker that stands still never says no: whatever is not bounded would hang for ever.
        async with asyncio.timeout(90):
            with pytest.raises(Unavailable):
                await kit.fill(1, 10_000)
            assert "does not answer" in (await kit.log.healthy() or "")
            await loop.stop(5)
            await kit.close()
    finally:
        cluster.nodes[1].send_signal(signal.SIGCONT)


async def test_three_brokers_lose_one(kafka_cluster: MakeCluster, database_url: str) -> None:
    cluster = await kafka_cluster(3)
    settings = quick(kafka=cluster.bootstrap, kafka_replication=3, kafka_min_isr=2, kafka_timeout_s=3.0)
    kit = await Kit(database_url, settings).open()
    acknowledged: set[int] = set()
    for number in range(60):
        if number == 20:
            cluster.kill(1)
        try:
            await kit.fill(1, number)
            acknowledged.add(number)
        except Unavailable:
            await asyncio.sleep(0.1)
    assert len(acknowledged) >= 50, "one leader less costs a few seconds, not the flow"
    there = {int(record.value) for record in await read_all(kit.log, kit.source, len(acknowledged))}
    assert acknowledged <= there
    await kit.close()
