"""kill -9 at every step of the loop, and SIGSTOP beyond the lease: each record has its effect once, each message leaves."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import services.eventlog.consume
import services.eventlog.open  # noqa: F401 registers the steps
from services.runtime import crash
from tests.support.logs import LEDGER, Kit, quick, read_all, until

pytestmark = pytest.mark.needs_postgres
ROOT = Path(__file__).parents[3]
COUNT = 400
LOOP_STEPS = sorted(step for step in crash.STEPS if step.partition(".")[0] in ("consume", "fence", "lease"))
KAFKA_STEPS = [*LOOP_STEPS, "outbox.committed", "outbox.published"]


@pytest.fixture
async def kit(which_log: str | None, database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick(kafka=which_log)).open()
    async with made.db.raw() as pg:
        await pg.execute(LEDGER)
    yield made
    await made.close()


async def worker(kit: Kit, crash_at: str = "-", *, patient: bool = False) -> asyncio.subprocess.Process:
    arguments = [kit.db.dsn, kit.settings.kafka or "-", crash_at, *(["patient"] if patient else [])]
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.support.log_worker", *arguments, cwd=ROOT)


async def finish(kit: Kit, *, exactly: bool) -> None:
    """All is there, once; every message has left (with Kafka a crash may repeat some)."""
    async with kit.db.raw() as pg:
        rows = await pg.fetch("SELECT value, count(*) AS n FROM ledger GROUP BY value")
        left = await pg.fetchval("SELECT count(*) FROM log.outbox")
    assert {int(row["value"]) for row in rows} == set(range(COUNT)), "nothing is lost"
    assert {row["n"] for row in rows} == {1}, "nothing has its effect twice"
    assert left == 0
    sent = [int(record.value) for record in await read_all(kit.log, kit.sink, COUNT)]
    assert set(sent) == set(range(COUNT))
    if exactly:
        assert len(sent) == COUNT


async def done(kit: Kit) -> bool:
    async with kit.db.raw() as pg:
        return bool(
            await pg.fetchval(
                "SELECT (SELECT count(*) FROM ledger) >= $1 AND NOT EXISTS (SELECT 1 FROM log.outbox)", COUNT
            )
        )


async def owners(kit: Kit, count: int) -> bool:
    async with kit.db.raw() as pg:
        found = await pg.fetchval("SELECT count(DISTINCT owner) FROM log.lease WHERE expires_at > clock_timestamp()")
    return bool(found == count)


def test_the_steps_are_those_that_matter() -> None:
    assert {"consume.polled", "consume.applied", "fence.passed", "lease.taken"} <= set(LOOP_STEPS)
    assert {"outbox.committed", "outbox.published", "outbox.adopted"} <= set(crash.STEPS)


@pytest.mark.parametrize("step", KAFKA_STEPS)
async def test_killed_at_any_step(kit: Kit, step: str) -> None:
    if step.startswith("outbox.") and kit.settings.kafka is None:
        pytest.skip("the log in PostgreSQL has no outbox rows")
    await kit.fill(COUNT)
    first = await worker(kit, step)
    assert await asyncio.wait_for(first.wait(), 40) == 137, f"{step} was not reached"
    second = await worker(kit)
    try:
        await until(lambda: done(kit), 40)
    finally:
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), 20) == 0
    await finish(kit, exactly=kit.settings.kafka is None)


async def test_the_heir_is_killed_too(kit: Kit) -> None:
    if kit.settings.kafka is None:
        pytest.skip("the log in PostgreSQL has no lanes to adopt")
    await kit.fill(COUNT)
    for step in ("outbox.committed", "outbox.adopted"):
        dying = await worker(kit, step)
        assert await asyncio.wait_for(dying.wait(), 40) == 137, f"{step} was not reached"
    last = await worker(kit)
    try:
        await until(lambda: done(kit), 40)
    finally:
        last.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(last.wait(), 20) == 0
    await finish(kit, exactly=False)


async def test_a_worker_that_was_killed_is_followed_at_once(kit: Kit) -> None:
    """Long before its lease of two minutes ends: the process table tells that the owner is gone."""
    first = await worker(kit, "-", patient=True)
    await until(lambda: owners(kit, 1), 30)
    first.kill()
    await first.wait()
    await kit.fill(COUNT)
    second = await worker(kit, "-", patient=True)
    try:
        await until(lambda: done(kit), 90)
    finally:
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), 20) == 0
    await finish(kit, exactly=True)


async def test_two_workers_one_stands_still_beyond_its_lease(kit: Kit) -> None:
    first, second = await worker(kit), await worker(kit)
    try:
        await until(lambda: owners(kit, 2), 30)
        for number in range(8):
            await kit.fill(COUNT // 8, number * (COUNT // 8))
            if number == 2:
                first.send_signal(signal.SIGSTOP)
            if number == 5:
                await asyncio.sleep(2.5)  # its leases have run out, the other has taken over
                first.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.1)
        await until(lambda: done(kit), 40)
    finally:
        for process in (first, second):
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        codes = await asyncio.wait_for(asyncio.gather(first.wait(), second.wait()), 20)
    assert codes == [0, 0]
    await finish(kit, exactly=kit.settings.kafka is None)
