"""What every log must do, run on both: real PostgreSQL and real Kafka."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from schemas.codec import Message
from services.eventlog.core.murmur2 import partition_of
from services.eventlog.ports import LogReader, LogTruncated, Record
from services.runtime.errors import BadMessage, Misconfigured, Unavailable
from tests.support.logs import Kit, quick, read_all, until

pytestmark = pytest.mark.needs_postgres


@pytest.fixture
async def kit(which_log: str | None, database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick(kafka=which_log)).open()
    yield made
    await made.close()


async def poll(reader: LogReader, most: int, wait_s: float) -> Sequence[Record]:
    """As a consumer does it: a reader that could not read for a moment is asked again, and goes on where it was."""
    for _ in range(4):
        with contextlib.suppress(Unavailable):
            return await reader.poll(most, wait_s)
    return await reader.poll(most, wait_s)


async def test_keeps_any_bytes(kit: Kit) -> None:
    odd: list[tuple[bytes | None, bytes | None]] = [
        (b"k", b"v"), (b"", b""), (b"\x00", b"\x00\xff\xfe"), (b"k", None), (None, b"v"), (b"\xf0\x28", bytes(range(256))),
        (b"k" * 300, b"v" * 200_000),
    ]  # fmt: skip
    await kit.log.writer().publish([Message(topic=kit.source, key=key, value=value) for key, value in odd])
    records = await read_all(kit.log, kit.source, len(odd))
    assert sorted([(r.key, r.value) for r in records], key=repr) == sorted(odd, key=repr)


async def test_a_key_keeps_its_order_and_its_partition(kit: Kit) -> None:
    for first in range(0, 300, 50):
        await kit.fill(50, first)
    by_key: dict[bytes | None, list[Record]] = defaultdict(list)
    for record in await read_all(kit.log, kit.source, 300):
        by_key[record.key].append(record)
    for key, records in by_key.items():
        assert key is not None
        assert {record.part for record in records} == {partition_of(key, 4)} == {kit.log.partition_of(kit.source, key)}
        numbers = [int(record.value or b"") for record in records]
        assert numbers == sorted(numbers)
        assert [r.offset for r in records] == sorted(r.offset for r in records)
    assert sum(map(len, by_key.values())) == 300


async def test_many_writers_at_once_lose_nothing(kit: Kit) -> None:
    await asyncio.gather(*(kit.fill(5, n * 5) for n in range(60)))
    records = await read_all(kit.log, kit.source, 300)
    assert sorted(int(record.value or b"") for record in records) == list(range(300))


async def test_time_of_a_record_is_the_time_it_was_written(kit: Kit) -> None:
    before = time.time() * 1000
    await kit.fill(1)
    (record,) = await read_all(kit.log, kit.source, 1)
    assert before - 1000 < record.at_ms < time.time() * 1000 + 1000


async def test_a_partition_can_be_named(kit: Kit) -> None:
    await kit.log.writer().publish(kit.numbered(10), part=3)
    assert {record.part for record in await read_all(kit.log, kit.source, 10)} == {3}
    with pytest.raises(BadMessage, match="no partition 4"):
        await kit.log.writer().publish(kit.numbered(1), part=4)


async def test_an_unknown_topic_is_refused(kit: Kit) -> None:
    with pytest.raises(BadMessage, match="no topic"):
        await kit.log.writer().publish([Message(topic="nowhere", key=b"k", value=b"v")])


async def test_reads_from_a_position_and_only_what_is_assigned(kit: Kit) -> None:
    await kit.log.writer().publish(kit.numbered(20), part=1)
    await kit.log.writer().publish(kit.numbered(20), part=2)
    reader = kit.log.reader(kit.source, "g")
    await reader.assign({1: 15})
    got: list[Record] = []
    while len(got) < 5:
        got += await poll(reader, 100, 0.2)
    assert [(record.part, record.offset) for record in got] == [(1, offset) for offset in range(15, 20)]
    assert await reader.poll(100, 0.05) == []
    await reader.assign({1: 18, 2: 0})  # back, and one more
    got = []
    while len(got) < 22:
        got += await poll(reader, 7, 0.2)
    assert [record.offset for record in got if record.part == 1] == [18, 19]
    assert [record.offset for record in got if record.part == 2] == list(range(20))
    await reader.assign({})
    assert await reader.poll(100, 0.05) == []
    await reader.close()
    await reader.close()


async def test_a_kept_position_goes_on_without_a_gap_or_a_repeat(kit: Kit) -> None:
    await kit.log.writer().publish(kit.numbered(50), part=0)
    reader = kit.log.reader(kit.source, "g")
    await reader.assign({0: 0})
    got: list[Record] = []
    while len(got) < 10:
        got += await poll(reader, 10 - len(got), 0.2)
    await reader.assign({0: 10, 1: 0})
    while len(got) < 50:
        got += await poll(reader, 100, 0.2)
    assert [record.offset for record in got] == list(range(50))
    await reader.close()


async def test_a_poll_cut_short_loses_nothing_once_the_reader_is_set(kit: Kit) -> None:
    reader = kit.log.reader(kit.source, "g")
    await reader.assign({0: 0})
    for round_ in range(10):
        polling = asyncio.create_task(reader.poll(100, 5))
        await asyncio.sleep(0.003)
        await kit.log.writer().publish(kit.numbered(1, round_), part=0)
        await asyncio.sleep(0.0005 * round_)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await reader.assign({0: 0})
    got: list[Record] = []
    while len(got) < 10:
        got += await poll(reader, 100, 0.5)
    assert [record.offset for record in got] == list(range(10))
    await reader.close()


async def test_poll_gives_at_once_what_is_there_and_waits_only_for_nothing(kit: Kit) -> None:
    reader = kit.log.reader(kit.source, "g")
    await reader.assign(dict.fromkeys(range(4), 0))
    started = time.monotonic()
    assert await reader.poll(10, 0.3) == []
    assert 0.25 < time.monotonic() - started < 2
    polling = asyncio.create_task(reader.poll(10, 5))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    await kit.fill(1)
    assert len(await polling) == 1
    assert time.monotonic() - started < 0.5
    await reader.close()


async def test_bounds(kit: Kit) -> None:
    reader = kit.log.reader(kit.source, "g")
    assert await reader.bounds([0, 3]) == {0: (0, 0), 3: (0, 0)}
    await kit.log.writer().publish(kit.numbered(7), part=3)
    assert await reader.bounds([0, 3]) == {0: (0, 0), 3: (0, 7)}
    await reader.note({3: 5})  # before any assignment: does nothing
    await reader.assign({3: 0})
    await reader.note({3: 5})
    await reader.close()


async def drop_first(kit: Kit, part: int, offset: int) -> None:
    """As retention does: the records before `offset` are gone."""
    if kit.settings.kafka:
        admin = AIOKafkaAdminClient(bootstrap_servers=kit.settings.kafka)
        await admin.start()
        await admin.delete_records({TopicPartition(kit.source, part): RecordsToDelete(before_offset=offset)})
        await admin.close()
    else:
        async with kit.db.raw() as pg:
            await pg.execute("DELETE FROM log.record WHERE part = $1 AND off < $2", part, offset)
            await pg.execute("UPDATE log.partition SET first = $2 WHERE part = $1", part, offset)


@pytest.mark.parametrize("left", [3, 0])
async def test_records_that_are_gone_are_never_skipped(kit: Kit, left: int) -> None:
    await kit.log.writer().publish(kit.numbered(10), part=0)
    await drop_first(kit, 0, 10 - left)
    reader = kit.log.reader(kit.source, "g")
    assert await reader.bounds([0]) == {0: (10 - left, 10)}
    await reader.assign({0: 2})

    async def poll_for_a_while() -> None:
        for _ in range(20):
            assert await reader.poll(10, 0.2) == []

    with pytest.raises(LogTruncated, match="position_outside_log"):
        await poll_for_a_while()
    await reader.assign({0: 10})
    await kit.log.writer().publish(kit.numbered(1), part=0)
    got: list[Record] = []
    while not got:
        got += await poll(reader, 10, 0.5)
    assert got[0].offset == 10
    await reader.close()


async def test_topics_are_made_once_and_checked(kit: Kit) -> None:
    await kit.log.ensure_topics()
    other = Kit(kit.db.dsn, quick(kafka=kit.settings.kafka, partitions=5))
    try:
        with pytest.raises(Misconfigured, match="has 4 partitions, LEAD_ROUTER_PARTITIONS says 5"):
            await other.log.ensure_topics()
    finally:
        await other.close()
    assert await kit.log.healthy() is None


# -- the outbox


async def test_messages_leave_if_and_only_if_the_transaction_commits(kit: Kit) -> None:
    outbox = kit.log.outbox("scoring", "batch")
    await outbox.drain()
    for number in range(30):
        staged = None
        try:
            async with kit.db.transaction() as pg:
                staged = await outbox.stage(pg, [Message(topic=kit.sink, key=b"k", value=b"%d" % number)])
                if number % 3 == 0:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            continue
        await outbox.committed(staged)
    assert await outbox.flush(5)
    records = await read_all(kit.log, kit.sink, 20)
    assert [int(record.value) for record in records] == [n for n in range(30) if n % 3]


async def test_committed_without_the_row_reads_the_table(kit: Kit) -> None:
    outbox = kit.log.outbox("scoring", "batch")
    for number in range(10):
        with contextlib.suppress(ZeroDivisionError):
            async with kit.db.transaction() as pg:
                await outbox.stage(pg, [Message(topic=kit.sink, key=b"k", value=b"%d" % number)])
                if number % 2 == 0:
                    raise ZeroDivisionError
            await outbox.committed()
    assert await outbox.flush(5)
    assert [int(r.value) for r in await read_all(kit.log, kit.sink, 5)] == [1, 3, 5, 7, 9]
    await until(lambda: is_empty(outbox))


async def is_empty(outbox: object) -> bool:
    return await outbox.waiting() == 0  # type: ignore[attr-defined, no-any-return]


async def test_one_key_keeps_its_order_over_concurrent_transactions(kit: Kit) -> None:
    """As commands of an API do: each locks the lead, stages last, and tells the outbox whenever it is scheduled."""
    outbox = kit.log.outbox("router", "api")
    async with kit.db.raw() as pg:
        await pg.execute("CREATE TABLE lead (id int PRIMARY KEY, version int)")
        await pg.execute("INSERT INTO lead SELECT g, 0 FROM generate_series(0, 2) g")

    async def command(lead: int) -> None:
        async with kit.db.transaction() as pg:
            version = await pg.fetchval("UPDATE lead SET version = version + 1 WHERE id = $1 RETURNING version", lead)
            staged = await outbox.stage(pg, [Message(topic=kit.sink, key=b"%d" % lead, value=b"%d" % version)])
        await asyncio.sleep(0.001 * (version % 7))
        await outbox.committed(staged)

    await asyncio.gather(*(command(n % 3) for n in range(90)))
    assert await outbox.flush(5)
    records = await read_all(kit.log, kit.sink, 90)
    for lead in range(3):
        versions = [int(record.value) for record in records if record.key == b"%d" % lead]
        assert versions == list(range(1, 31)), "in order, none twice, none lost"


async def test_an_outbox_with_its_own_encoding(kit: Kit) -> None:
    def encode(payload: bytes) -> list[Message]:
        return [Message(topic=kit.sink, key=b"k", value=part) for part in payload.split(b",")]

    outbox = kit.log.outbox("scoring", "own", encode)
    assert kit.log.outbox("scoring", "own") is outbox
    async with kit.db.transaction() as pg:
        staged = await outbox.stage_payload(pg, b"a,b,c")
    await outbox.committed(staged)
    assert await outbox.flush(5)
    assert [record.value for record in await read_all(kit.log, kit.sink, 3)] == [b"a", b"b", b"c"]
