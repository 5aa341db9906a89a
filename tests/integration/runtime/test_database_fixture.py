"""The fixture `database`: fresh, migrated, one for each test."""

import pytest

from services.runtime.db import Database


@pytest.mark.parametrize("turn", [1, 2])
async def test_every_test_gets_an_empty_migrated_database(database: Database, turn: int) -> None:
    async with database.transaction() as pg:
        assert await pg.fetchval("SELECT to_regclass('public.mark')") is None
        await pg.execute("CREATE TABLE mark (n int)")
        assert await pg.fetchval("SELECT count(*) FROM public.lead_router_version") == 1


def test_a_plain_test_may_use_the_url(database_url: str) -> None:
    assert database_url.startswith("postgresql://")
