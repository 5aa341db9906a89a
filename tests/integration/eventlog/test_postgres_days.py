"""The days of the PostgreSQL log: made ahead, dropped by age, but not while somebody has still to read them."""

from collections.abc import AsyncIterator

import pytest

from tests.support.logs import LEDGER, Kit, Ledger, consumer, quick, until

pytestmark = pytest.mark.needs_postgres
DAYS = "SELECT relname FROM pg_class WHERE relname LIKE 'record\\_%' AND relkind = 'r' ORDER BY right(relname, 8), 1"


@pytest.fixture
async def kit(database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick()).open()
    async with made.db.raw() as pg:
        await pg.execute(LEDGER)
    yield made
    await made.close()


async def days(kit: Kit) -> list[str]:
    async with kit.db.raw() as pg:
        return [row["relname"] for row in await pg.fetch(DAYS)]


async def age(kit: Kit, by: int) -> None:
    """Make all that is there `by` days older: move the day of now."""
    async with kit.db.raw() as pg:
        names = [row["relname"] for row in await pg.fetch(DAYS)]
        for name in names:
            await pg.execute(f"ALTER TABLE log.record DETACH PARTITION log.{name}")
        for name in names:
            rows = await pg.fetch(f"SELECT DISTINCT topic FROM log.{name}")
            if not rows:
                await pg.execute(f"DROP TABLE log.{name}")
                continue
            day = await pg.fetchval("SELECT to_date($1, 'YYYYMMDD') - $2::int", name[-8:], by)
            await pg.execute(f"UPDATE log.{name} SET at = at - make_interval(days => $1)", by)
            await pg.execute(
                f"ALTER TABLE log.record ATTACH PARTITION log.{name} FOR VALUES FROM "
                f"('{rows[0]['topic']}', '{day}') TO ('{rows[0]['topic']}', '{day}'::date + 1)"
            )
            await pg.execute(f"ALTER TABLE log.{name} RENAME TO {name[:-8]}{day:%Y%m%d}")


async def test_days_are_made_ahead_once(kit: Kit) -> None:
    before = await days(kit)
    assert len(before) == 2 * 5, "two topics: yesterday, today and three days ahead"
    await kit.log.keep_house()  # type: ignore[attr-defined]
    assert await days(kit) == before


async def test_a_day_goes_when_it_is_old_and_read(kit: Kit) -> None:
    handler = Ledger(kit)
    loop = consumer(kit, handler)
    await kit.fill(40)
    await loop.start()
    await until(lambda: sum(handler.batches) == 40)
    await loop.stop(5)
    await kit.fill(10, 40)  # unread
    await age(kit, 8)
    old = (await days(kit))[0]
    await kit.log.keep_house()  # type: ignore[attr-defined]
    assert old in await days(kit), "ten records of it are unread"
    handler = Ledger(kit)
    loop = consumer(kit, handler)
    await loop.start()
    await until(lambda: sum(handler.batches) == 10)
    await loop.stop(5)
    await kit.log.keep_house()  # type: ignore[attr-defined]
    assert old not in await days(kit)
    reader = kit.log.reader(kit.source, "g")
    bounds = await reader.bounds(range(4))
    assert all(first == end > 0 for first, end in bounds.values())
    await reader.close()
    handler = Ledger(kit)
    loop = consumer(kit, handler)
    await kit.fill(5, 50)
    await loop.start()
    await until(lambda: sum(handler.batches) == 5)
    await loop.stop(5)
    assert await kit.count() == 55


async def test_unread_days_go_in_the_end(kit: Kit) -> None:
    loop = consumer(kit, Ledger(kit))
    await loop.start()
    await until(lambda: loop.ready() is None)
    await loop.stop(5)
    await kit.fill(10)
    await age(kit, 29)
    old = (await days(kit))[0]
    await kit.log.keep_house()  # type: ignore[attr-defined]
    assert old not in await days(kit), "four times its age: whoever has not read it does not come back"
