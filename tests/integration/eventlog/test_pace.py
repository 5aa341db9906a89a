"""Stages that share a process: small batches wait until those behind have nothing to do, and never for long."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from schemas.codec import Message
from services.eventlog import pace
from services.eventlog.ports import LogReader, Record
from tests.support.logs import Kit, quick

pytestmark = pytest.mark.needs_postgres


@pytest.fixture
async def kit(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kit]:
    monkeypatch.setattr(pace, "HOLD_S", 60.0)  # what is held back stays so for as long as we look
    made = await Kit(database_url, quick()).open()
    yield made
    await made.close()


async def standing(kit: Kit, topic: str) -> LogReader:
    """A reader that has read all that there is, and has said so."""
    reader = kit.log.reader(topic, "test")
    await reader.assign(dict.fromkeys(range(4), 0))
    assert await reader.poll(100, 0.01) == []
    reader.applied({})
    return reader


async def send(kit: Kit, topic: str, count: int = 1) -> None:
    await kit.log.writer().publish([Message(topic=topic, key=b"k%d" % n, value=b"%d" % n) for n in range(count)])


def polling(reader: LogReader) -> "asyncio.Task[Any]":
    return asyncio.create_task(reader.poll(100, 30))


async def stands(task: "asyncio.Task[Any]") -> bool:
    """Whether it is still at it, though there was time."""
    await asyncio.wait([task], timeout=0.2)
    return not task.done()


def after(records: Sequence[Record]) -> dict[int, int]:
    """The positions behind these records."""
    return {record.part: record.offset + 1 for record in records}


async def test_a_small_batch_waits_until_the_one_before_is_done_and_takes_what_came_meanwhile(kit: Kit) -> None:
    reader = await standing(kit, kit.source)
    await send(kit, kit.source)
    first = await reader.poll(100, 5)
    second = polling(reader)
    await send(kit, kit.source, 3)
    assert await stands(second)
    await send(kit, kit.source, 2)
    reader.applied(after(first))
    assert (len(first), len(await second)) == (1, 5)


async def test_a_small_batch_waits_for_the_stages_behind_and_they_wait_for_nobody(kit: Kit) -> None:
    reader, behind = await standing(kit, kit.source), await standing(kit, kit.sink)
    await send(kit, kit.sink)
    await send(kit, kit.source)
    taken = polling(reader)
    assert await stands(taken), "the stage behind has a record to take"
    records = await behind.poll(100, 5)
    following = polling(behind)
    assert await stands(taken), "the stage behind is at work"
    behind.applied(after(records))
    assert len(await taken) == 1
    assert await stands(following)
    await send(kit, kit.sink)
    assert len(await following) == 1


async def test_whoever_has_much_to_do_waits_for_nobody(kit: Kit) -> None:
    reader, behind = await standing(kit, kit.source), await standing(kit, kit.sink)
    await send(kit, kit.sink)
    await behind.poll(100, 5)
    await send(kit, kit.source)
    taken = polling(reader)
    assert await stands(taken)
    await send(kit, kit.source, pace.SMALL)
    assert len(await taken) == pace.SMALL + 1


async def test_a_stage_that_stands_still_holds_nobody_up_for_long(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, behind = await standing(kit, kit.source), await standing(kit, kit.sink)
    await send(kit, kit.sink)
    await behind.poll(100, 5)
    await send(kit, kit.source)
    taken = polling(reader)
    assert await stands(taken)
    monkeypatch.setattr(pace, "HOLD_S", 0.01)
    taken.cancel()
    await asyncio.wait([taken])
    assert len(await reader.poll(100, 30)) == 1


async def test_a_stage_that_reads_no_more_holds_nobody_up(kit: Kit) -> None:
    reader, behind = await standing(kit, kit.source), await standing(kit, kit.sink)
    await send(kit, kit.sink)
    await behind.poll(100, 5)
    await send(kit, kit.source)
    taken = polling(reader)
    assert await stands(taken)
    await behind.close()
    assert len(await taken) == 1
