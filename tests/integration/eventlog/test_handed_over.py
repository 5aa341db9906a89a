"""Readers of the PostgreSQL log get what their own process writes from its hands: all of it, in order, once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from schemas.codec import Message
from services.eventlog.ports import LogReader, Record
from services.eventlog.postgres_read import HANDED_RECORDS
from tests.support.logs import Kit, quick, read_all

pytestmark = pytest.mark.needs_postgres


@pytest.fixture
async def kit(database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick()).open()
    yield made
    await made.close()


async def standing(kit: Kit) -> LogReader:
    """A reader that has read all that there is."""
    reader = kit.log.reader(kit.source, "test")
    await reader.assign(dict.fromkeys(range(4), 0))
    assert await reader.poll(100, 0.01) == []
    return reader


async def taken(reader: LogReader, count: int) -> list[Record]:
    """The next `count` records, at least."""
    records: list[Record] = []
    while len(records) < count:
        records += await reader.poll(100, 5)
    return records


def numbers(records: list[Record], part: int) -> list[int]:
    return [record.offset for record in records if record.part == part]


async def test_what_is_handed_over_is_what_lies_in_the_log_and_is_not_asked_for(kit: Kit) -> None:
    reader = await standing(kit)
    await kit.fill(3)
    await kit.fill(20, 3)
    fetched = await read_all(kit.log, kit.source, 23)
    async with kit.db.raw() as pg:
        await pg.execute("DELETE FROM log.record")
    by_place = sorted(await taken(reader, 23), key=lambda record: (record.part, record.offset))
    assert by_place == sorted(fetched, key=lambda record: (record.part, record.offset))


async def test_what_others_write_in_between_comes_in_its_place(kit: Kit) -> None:
    reader = await standing(kit)
    other = await kit.twin()
    try:
        await kit.fill(10)
        await other.fill(10, 10)
        await kit.fill(10, 20)
        records = await taken(reader, 30)

        async def fill(one: Kit, first: int) -> None:
            for number in range(first, first + 40):
                await one.fill(1, number)

        async with asyncio.TaskGroup() as group:
            for n, one in enumerate((kit, other, kit)):
                group.create_task(fill(one, 30 + 40 * n))
            records += await taken(reader, 120)
    finally:
        await other.close()
    assert sorted(int(record.value or b"") for record in records) == list(range(150))
    for part in range(4):
        assert numbers(records, part) == list(range(len(numbers(records, part))))


async def test_what_is_rolled_back_is_never_handed_over(kit: Kit) -> None:
    reader = await standing(kit)
    outbox = kit.log.outbox("scoring", "batch")
    for number in range(4):
        try:
            async with kit.db.transaction() as pg:
                staged = await outbox.stage(pg, [Message(topic=kit.source, key=b"k", value=b"%d" % number)])
                if number % 2 == 0:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            continue
        await outbox.committed(staged)
    records = await taken(reader, 2)
    assert [(record.offset, record.value) for record in records] == [(0, b"1"), (1, b"3")]


async def test_told_in_the_wrong_order_they_come_in_the_right_one(kit: Kit) -> None:
    reader = await standing(kit)
    outbox = kit.log.outbox("router", "api")
    staged = []
    for number in range(3):
        async with kit.db.transaction() as pg:
            staged.append(await outbox.stage(pg, [Message(topic=kit.source, key=b"k", value=b"%d" % number)]))
    for one in reversed(staged):
        await outbox.committed(one)
    await kit.fill(1, 3)
    assert sorted(int(record.value or b"") for record in await taken(reader, 4)) == [0, 1, 2, 3]
    assert await reader.poll(100, 0.01) == []


async def test_a_reader_that_falls_behind_keeps_a_bounded_part_and_loses_nothing(kit: Kit) -> None:
    reader = await standing(kit)
    rounds = 2 * HANDED_RECORDS // 400 + 1
    for n in range(rounds):
        await kit.fill(400, 400 * n)
    assert len(reader._ahead) < HANDED_RECORDS + 400  # type: ignore[attr-defined]
    records = await taken(reader, 400 * rounds)
    assert sorted(int(record.value or b"") for record in records) == list(range(400 * rounds))
    for part in range(4):
        assert numbers(records, part) == list(range(len(numbers(records, part))))
