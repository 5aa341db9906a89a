"""The outbox with Kafka: what a crash leaves behind is published by somebody, in order, and poison does not block it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from schemas.codec import Message
from services.eventlog.deadletter import list_letters
from services.eventlog.outbox import RowOutbox
from services.runtime.db import Database
from services.runtime.errors import BadMessage, Unavailable
from tests.support.logs import quick, until

pytestmark = pytest.mark.needs_postgres


class Paper:
    """A writer that remembers, and fails when told: what the outbox needs of Kafka."""

    def __init__(self) -> None:
        self.out: list[Message] = []
        self.away = False
        self.calls = 0

    async def publish(self, messages: Sequence[Message], part: int | None = None) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("Kafka at nowhere does not answer")
        if any(len(message.value or b"") > 100 for message in messages):
            raise BadMessage("too large", code="message_too_large")
        self.out += messages

    async def close(self) -> None:
        pass

    @property
    def values(self) -> list[int]:
        return [int(message.value or b"") for message in self.out]


class Shop:
    """Outboxes of several processes over one database."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.paper = Paper()
        self.made: list[RowOutbox] = []

    def outbox(self, owner: str, lane: str = "batch") -> RowOutbox:
        self.made.append(RowOutbox(self.db, self.paper, quick(kafka="k:1"), owner, "scoring", lane))
        return self.made[-1]

    async def write(self, outbox: RowOutbox, *numbers: int, tell: bool = True) -> None:
        for number in numbers:
            async with self.db.transaction() as pg:
                staged = await outbox.stage(pg, [Message(topic="t", key=b"k", value=b"%d" % number)])
            if tell:
                await outbox.committed(staged)

    async def rows(self) -> int:
        async with self.db.raw() as pg:
            return int(await pg.fetchval("SELECT count(*) FROM log.outbox"))

    async def empty(self) -> bool:
        return await self.rows() == 0


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    made = Shop(database)
    yield made
    for outbox in made.made:
        await outbox.close()


async def freeze(outbox: RowOutbox) -> None:
    """As kill -9 or SIGSTOP: none of its tasks runs again."""
    tasks = [task for task in (outbox._task, *outbox._lanes._tasks) if task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_rows_are_deleted_with_the_next_row_or_when_idle(shop: Shop) -> None:
    outbox = shop.outbox("a")
    await shop.write(outbox, *range(50))
    assert await outbox.flush(5)
    assert shop.paper.values == list(range(50))
    assert await shop.rows() < 40, "most went with later rows"
    await until(shop.empty)


async def test_waits_for_kafka_and_goes_on_in_order(shop: Shop) -> None:
    outbox = shop.outbox("a")
    shop.paper.away = True
    await shop.write(outbox, *range(100))  # far more than is kept in memory
    assert not await outbox.flush(0.3)
    assert await outbox.waiting() == 100
    shop.paper.away = False
    await shop.write(outbox, 100)
    assert await outbox.flush(10)
    assert shop.paper.values == list(range(101))
    await until(shop.empty)


async def test_a_crash_after_the_commit_and_before_publishing_loses_nothing(shop: Shop) -> None:
    dead, heir = shop.outbox("dead"), shop.outbox("heir")
    await dead.drain()
    await freeze(dead)
    await shop.write(dead, 1, 2, 3, tell=False)
    await heir.drain()
    assert shop.paper.values == [], "its lease has not run out, and nobody said that it is gone"
    await heir.drain(["dead"])
    assert shop.paper.values == [1, 2, 3]
    await shop.write(heir, 4)
    assert await heir.flush(5)
    assert shop.paper.values == [1, 2, 3, 4]
    await until(shop.empty)


async def test_a_lane_whose_lease_has_run_out_is_emptied_without_a_takeover(shop: Shop) -> None:
    dead, other = shop.outbox("dead"), shop.outbox("other")
    await dead.drain()
    await freeze(dead)
    await shop.write(dead, 1, 2, tell=False)
    await other.drain()
    await until(lambda: shop.paper.values == [1, 2], 5)
    await until(shop.empty)


async def test_a_crash_between_publishing_and_deleting_repeats_but_loses_nothing(shop: Shop) -> None:
    dead, heir = shop.outbox("dead"), shop.outbox("heir")
    await shop.write(dead, 1, 2, 3)
    assert await dead.flush(5)
    await freeze(dead)  # within the idle time: its rows are still there
    assert await shop.rows() > 0
    await shop.write(dead, 4, tell=False)
    await heir.drain(["dead"])
    assert shop.paper.values[:3] == [1, 2, 3]
    assert shop.paper.values[-1] == 4
    assert set(shop.paper.values) == {1, 2, 3, 4}
    rest = shop.paper.values[3:]
    assert rest == sorted(rest), "repeated in order"


async def test_a_zombie_that_wakes_goes_on_in_its_own_lane(shop: Shop) -> None:
    zombie, heir = shop.outbox("zombie"), shop.outbox("heir")
    await zombie.drain()
    await shop.write(zombie, 1, tell=False)
    await heir.drain(["zombie"])
    await shop.write(zombie, 2)
    assert await zombie.flush(5)
    await until(lambda: 2 in shop.paper.values)
    await shop.write(zombie, 3)
    assert await zombie.flush(5)
    await until(shop.empty)
    assert set(shop.paper.values) == {1, 2, 3}


async def test_lanes_of_another_purpose_are_left_alone(shop: Shop) -> None:
    api, batch = shop.outbox("dead", "api"), shop.outbox("heir", "batch")
    await api.drain()
    await freeze(api)
    await shop.write(api, 1, tell=False)
    await batch.drain(["dead"])
    assert shop.paper.values == []
    assert await shop.rows() == 1


async def test_a_message_that_is_too_large_is_buried_and_its_neighbours_go(shop: Shop) -> None:
    outbox = shop.outbox("a")
    async with shop.db.transaction() as pg:
        staged = await outbox.stage(
            pg,
            [Message(topic="t", key=b"k", value=value) for value in (b"1", b"9" * 200, b"2")],
        )
    await outbox.committed(staged)
    await shop.write(outbox, 3)
    assert await outbox.flush(5)
    assert shop.paper.values == [1, 2, 3]
    (letter,) = await list_letters(shop.db)
    assert (letter.reason, letter.part, letter.value) == ("message_too_large", -1, b"9" * 200)
    await until(shop.empty)


async def test_a_payload_that_cannot_be_encoded_stops_the_outbox_loudly(shop: Shop) -> None:
    outbox = shop.outbox("a")
    async with shop.db.transaction() as pg:
        staged = await outbox.stage_payload(pg, b"\x07not ours")
    await outbox.committed(staged)
    await until(lambda: outbox._failed is not None)
    with pytest.raises(ValueError, match="no form of ours"):
        await shop.write(outbox, 1)
    assert await shop.rows() == 1, "it stays, and nothing overtakes it"


async def test_a_stage_may_write_the_row_itself(shop: Shop) -> None:
    outbox = shop.outbox("a")
    for number in range(20):
        async with shop.db.transaction() as pg:
            from services.eventlog.core.packing import pack

            row = outbox.next_row(pack([Message(topic="t", key=b"k", value=b"%d" % number)]))
            await pg.execute(
                "INSERT INTO log.outbox (stage, lane, seq, payload) VALUES ('scoring', $1, $2, $3)",
                row.lane, row.seq, row.payload,
            )  # fmt: skip
            await pg.execute(
                "DELETE FROM log.outbox WHERE stage = 'scoring' AND lane = $1 AND seq = ANY ($2::bigint[])",
                row.lane, row.published,
            )  # fmt: skip
        if number == 7:
            undone = outbox.next_row(b"never written")
            outbox.rolled_back(undone)
        await outbox.committed(row)
    assert await outbox.flush(5)
    assert shop.paper.values == list(range(20))
    await until(shop.empty)
