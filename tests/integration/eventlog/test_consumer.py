"""The loop over the PostgreSQL log: effect once, whatever happens to owners, batches and the database."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from services.eventlog.deadletter import bury, list_letters
from services.eventlog.fence import fence, fence_epochs
from services.eventlog.ports import Batch, DeadRecord, LogTruncated, StoppedLoudly
from services.runtime.errors import Conflict, Fenced, Unavailable
from tests.support.logs import LEDGER, Kit, Ledger, consumer, quick, read_all, until

pytestmark = pytest.mark.needs_postgres


@pytest.fixture
async def kit(which_log: str | None, database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick(kafka=which_log)).open()
    async with made.db.raw() as pg:
        await pg.execute(LEDGER)
    yield made
    await made.close()


async def exactly_once(kit: Kit, count: int) -> None:
    async with kit.db.raw() as pg:
        rows = await pg.fetch("SELECT value, count(*) AS n FROM ledger GROUP BY 1")
    assert {row["n"] for row in rows} == {1}
    assert {int(row["value"]) for row in rows} == set(range(count))


async def test_handles_what_was_there_and_what_comes(kit: Kit) -> None:
    await kit.fill(500)
    handler = Ledger(kit, outbox=kit.log.outbox("scoring", "batch"))
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) == 500)
    assert loop.ready() is None
    assert handler.own == [0, 1, 2, 3]
    await kit.fill(20, 500)
    await until(lambda: sum(handler.batches) == 520)
    assert max(handler.batches) <= kit.settings.batch_max_records
    await until(lambda: len(handler.ticks) >= 2)
    await loop.stop(5)
    await exactly_once(kit, 520)
    assert sorted(int(record.value) for record in await read_all(kit.log, kit.sink, 520)) == list(range(520))


async def test_idle_latency_is_a_few_milliseconds(kit: Kit) -> None:
    other = await kit.twin()
    handler = Ledger(kit)
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: loop.ready() is None)
    waits = []
    for n in range(20):
        await asyncio.sleep(0.02)
        started = time.perf_counter()
        handler.applying.clear()
        await other.fill(1, n)  # from another process's point of view
        await handler.applying.wait()
        waits.append(time.perf_counter() - started)
    await loop.stop(5)
    await other.close()
    assert sorted(waits)[10] < 0.05, waits


async def test_conflict_prepares_again_and_applies_again(kit: Kit) -> None:
    await kit.fill(300)
    handler = Ledger(kit)
    tries = 0

    def conflict_twice(batch: Batch) -> None:
        nonlocal tries
        tries += 1
        if tries in (2, 3):
            raise Conflict("stale")

    handler.in_apply = conflict_twice
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) == 300)
    await loop.stop(5)
    assert handler.resets >= 2
    await exactly_once(kit, 300)


async def test_conflict_while_preparing(kit: Kit) -> None:
    await kit.fill(300)
    handler = Ledger(kit)
    tries = 0

    def conflict_once(batch: Batch) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise Conflict("stale")

    handler.in_prepare = conflict_once
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) == 300)
    await loop.stop(5)
    await exactly_once(kit, 300)


async def test_a_batch_that_conflicts_for_ever_stops_loudly(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.eventlog.consume.CONFLICTS_MAX", 3)
    await kit.fill(3)
    handler = Ledger(kit)

    def conflict(batch: Batch) -> None:
        raise Conflict("stale")

    handler.in_apply = conflict
    fatal: list[Exception] = []
    loop = consumer(kit, handler, on_fatal=fatal.append)
    await loop.start()
    await until(lambda: fatal)
    assert isinstance(fatal[0], StoppedLoudly)
    assert "conflicts for ever" in (loop.ready() or "")
    await loop.stop(5)
    assert await kit.count() == 0


async def test_a_bug_ends_the_loop_and_commits_nothing(kit: Kit) -> None:
    await kit.fill(10)
    handler = Ledger(kit)

    def bug(batch: Batch) -> None:
        raise ZeroDivisionError("a bug")

    handler.in_apply = bug
    fatal: list[Exception] = []
    loop = consumer(kit, handler, on_fatal=fatal.append)
    await loop.start()
    await until(lambda: fatal)
    assert isinstance(fatal[0], ZeroDivisionError)
    await loop.stop(5)
    assert await kit.count() == 0
    async with kit.db.raw() as pg:
        assert await pg.fetchval("SELECT count(*) FROM log.lease WHERE owner IS NOT NULL") == 0
        assert await pg.fetchval("SELECT max(next_offset) FROM log.lease") == 0


async def test_goes_on_when_the_database_comes_back(kit: Kit) -> None:
    await kit.fill(200)
    handler = Ledger(kit)
    tries = 0

    def away(batch: Batch) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("PostgreSQL does not answer")

    handler.in_apply = away
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) >= 100)
    async with kit.db.raw() as pg:
        # Every connection of ours but this one dies, as when the server restarts.
        await pg.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await kit.fill(100, 200)
    await until(lambda: kit.has(300))
    await loop.stop(5)
    await exactly_once(kit, 300)


async def test_an_error_after_the_commit_does_not_apply_twice(kit: Kit) -> None:
    await kit.fill(250)
    handler = Ledger(kit)
    tries = 0

    def away(batch: Batch) -> None:
        nonlocal tries
        tries += 1
        if tries == 2:
            raise Unavailable("the answer to COMMIT was lost")

    handler.after_commit = away
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: kit.has(250))
    await loop.stop(5)
    await exactly_once(kit, 250)


async def test_fenced_in_the_middle_of_a_batch(kit: Kit) -> None:
    await kit.fill(400)
    handler = Ledger(kit)
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: handler.batches)
    async with kit.db.raw() as pg:  # somebody else takes partition 0 for an instant
        await pg.execute("UPDATE log.lease SET epoch = epoch + 1, owner = 'thief', expires_at = now() WHERE part = 0")
    await until(lambda: kit.has(400))
    await loop.stop(5)
    await exactly_once(kit, 400)


async def test_a_zombie_is_refused(kit: Kit) -> None:
    """One owner stands still inside prepare for longer than its lease, as with SIGSTOP; its transaction is refused."""
    await kit.fill(100)
    first, second = Ledger(kit, "first"), Ledger(kit, "second")
    zombie = consumer(kit, first)
    first.in_apply = lambda batch: None
    await zombie.start()
    await until(lambda: sum(first.batches) == 100)
    # It stands still: no heartbeat, no loop; and another takes over.
    zombie._leases._task.cancel()  # type: ignore[union-attr]
    held = dict(zombie._leases.held)
    other = await kit.twin()
    heir = consumer(other, second)
    zombie._stopping.set()
    await heir.start()
    await until(lambda: len(second.own) == 4)
    await kit.fill(50, 100)
    await until(lambda: sum(second.batches) == 50)
    batch = Batch(
        "scoring",
        kit.source,
        [],
        dict.fromkeys(held, 0),
        dict.fromkeys(held, 10**6),
        {part: lease.epoch for part, lease in held.items()},
    )
    with pytest.raises(Fenced) as refused:
        await first.apply(batch, [])
    assert refused.value.parts == (0, 1, 2, 3)
    with pytest.raises(Fenced):
        async with kit.db.transaction() as pg:
            await fence_epochs(pg, "scoring", kit.source, {0: held[0].epoch})
    await heir.stop(5)
    await zombie.stop(5)
    await other.close()
    await exactly_once(kit, 150)


async def test_two_owners_share_and_one_takes_over(kit: Kit) -> None:
    other = await kit.twin()
    first, second = Ledger(kit, "first"), Ledger(kit, "second")
    one, two = consumer(kit, first), consumer(other, second)
    await one.start()
    await until(lambda: len(first.own) == 4)
    await two.start()
    await until(lambda: len(first.own) == 2 and len(second.own) == 2)
    for round_ in range(10):
        await kit.fill(40, round_ * 40)
    await until(lambda: kit.has(400))
    assert first.batches
    assert second.batches
    await two.stop(5)
    started = time.monotonic()
    await until(lambda: len(first.own) == 4)
    assert time.monotonic() - started < 1.0, "a clean stop releases at once"
    await kit.fill(40, 400)
    await until(lambda: kit.has(440))
    await one.stop(5)
    await other.close()
    await exactly_once(kit, 440)


async def test_poison_is_buried_and_its_neighbours_go_on(kit: Kit) -> None:
    await kit.fill(50)
    handler = Burying(kit)
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) == 50)
    await loop.stop(5)
    letters = await list_letters(kit.db, limit=100)
    assert sorted(int(letter.value or b"") for letter in letters) == [0, 10, 20, 30, 40]
    assert {letter.detail for letter in letters} == {"ends with \x00zero"}
    assert await kit.count() == 45


class Burying(Ledger):
    """Buries what ends with 0, or everything."""

    def __init__(self, kit: Kit, *, everything: bool = False) -> None:
        super().__init__(kit)
        self.everything = everything

    async def apply(self, batch: Batch, work: object) -> None:
        dead = [
            DeadRecord(
                part=r.part, offset=r.offset, reason="zero", detail="ends with \x00zero", key=r.key, value=r.value
            )
            for r in batch.records
            if self.everything or (r.value or b"").endswith(b"0")
        ]
        gone = {(record.part, record.offset) for record in dead}
        async with self.db.transaction() as pg:
            await fence(pg, batch)
            await bury(pg, batch.stage, batch.topic, dead)
            await pg.executemany(
                "INSERT INTO ledger (part, off, value) VALUES ($1, $2, $3)",
                [(r.part, r.offset, r.value) for r in batch.records if (r.part, r.offset) not in gone],
            )
        self.batches.append(len(batch.records))


async def test_too_many_dead_in_a_row_stop_the_stage_for_good(database_url: str) -> None:
    kit = await Kit(database_url, quick(dead_letter_max_run=50, batch_max_records=20)).open()
    async with kit.db.raw() as pg:
        await pg.execute(LEDGER)
    await kit.fill(200)
    for _ in range(2):  # the second start remembers
        fatal: list[Exception] = []
        loop = consumer(kit, Burying(kit, everything=True), on_fatal=fatal.append)
        await loop.start()
        await until(lambda: fatal)  # noqa: B023
        await loop.stop(5)
        assert isinstance(fatal[0], StoppedLoudly)
        assert fatal[0].code == "too_many_dead_letters"
        assert len(await list_letters(kit.db, limit=200)) <= 50
    await kit.close()


async def test_a_position_outside_the_log_ends_the_process(kit: Kit) -> None:
    await kit.fill(100)
    handler = Ledger(kit)
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) == 100)
    await loop.stop(5)
    changes = ["UPDATE log.lease SET next_offset = 1000"]  # as after the topic was made anew
    if kit.settings.kafka is None:
        changes.append("WITH x AS (UPDATE log.lease SET next_offset = 2) UPDATE log.partition SET first = 5")
    for change in changes:
        async with kit.db.raw() as pg:
            await pg.execute(change)
        fatal: list[Exception] = []
        loop = consumer(kit, handler, on_fatal=fatal.append)
        await loop.start()
        await until(lambda: fatal)  # noqa: B023
        await loop.stop(5)
        assert isinstance(fatal[0], LogTruncated), fatal
    assert await kit.count() == 100


async def test_lag_counts_what_waits(kit: Kit) -> None:
    handler = Ledger(kit)
    handler.hold = asyncio.Event()
    loop = consumer(kit, handler)
    await kit.fill(100)
    await loop.start()
    await handler.applying.wait()
    assert sum(row["records"] for row in loop.lag()) == 100
    handler.hold.set()
    await until(lambda: sum(row["records"] for row in loop.lag()) == 0)
    await loop.stop(5)
