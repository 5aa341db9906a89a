"""The door to PostgreSQL: what is away, what is refused, what is a bug; and the listener."""

import asyncio

import asyncpg
import pytest
import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy.engine import make_url

from services.eventlog.fence import translate
from services.runtime.db import Database, Listener, is_away, retrying, socket_url
from services.runtime.errors import Misconfigured, Unavailable


@pytest.mark.parametrize("url", ["nonsense", "mysql://a@b/c", ""])
def test_a_url_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_DATABASE_URL"):
        Database(url)


async def test_away_is_unavailable_and_shows_no_password() -> None:
    db = Database("postgresql://u:hush@127.0.0.1:1/x")

    async def by_pool() -> None:
        async with db.raw():
            pass

    async def by_engine() -> None:
        async with db.begin():
            pass

    async def alone() -> None:
        await db.connect()

    for call in (by_pool, by_engine, alone):
        with pytest.raises(Unavailable) as caught:
            await call()
        assert caught.value.code == "database_away"
        assert "hush" not in caught.value.message
    await db.close()


async def test_a_database_that_is_not_there_is_misconfigured(database_url: str) -> None:
    db = Database(make_url(database_url).set(database="not_there").render_as_string(hide_password=False))
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_DATABASE_URL"):
        await db.connect()
    with pytest.raises(Misconfigured):
        async with db.raw():
            pass
    await db.close()


async def test_transactions_commit_or_roll_back(database: Database) -> None:
    async with database.transaction() as pg:
        await pg.execute("CREATE TABLE t (n int)")

    async def fails() -> None:
        async with database.transaction() as pg:
            await pg.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    async with database.begin() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM t"))).scalar() == 0


async def test_a_wrong_value_is_a_bug_not_a_database_that_is_away(database: Database) -> None:
    with pytest.raises(asyncpg.DataError):
        async with database.raw() as pg:
            await pg.fetchval("SELECT $1::int4", "one")
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        async with database.begin() as connection:
            await connection.execute(sa.text("SELECT CAST(:n AS int)"), {"n": "one"})
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.raw() as pg:
            await pg.fetch("SELECT 1 FROM nowhere")


@pytest.mark.parametrize(("state", "away"), [(2, True), (12, False)])
def test_a_connection_ended_unasked_is_away_and_crossed_calls_are_a_bug(state: int, *, away: bool) -> None:
    error = asyncpg.InternalClientError(f"cannot switch to state 15; another operation ({state}) is in progress")
    assert is_away(error) is away
    assert isinstance(translate(error), Unavailable) is away


async def test_a_connection_that_is_cut_is_unavailable_and_the_next_one_works(database: Database) -> None:
    cut = "SELECT pg_terminate_backend(pg_backend_pid())"

    async def by_pool() -> None:
        async with database.raw() as pg:
            await pg.execute(cut)

    async def by_engine() -> None:
        async with database.begin() as connection:
            await connection.execute(sa.text(cut))

    for call in (by_pool, by_engine):
        with pytest.raises(Unavailable):
            await call()
        async with database.raw() as pg:
            assert await pg.fetchval("SELECT 1") == 1
        async with database.begin() as connection:
            assert (await connection.execute(sa.text("SELECT 1"))).scalar() == 1


async def test_the_pool_is_opened_once(database: Database) -> None:
    pools = await asyncio.gather(*(database.pool() for _ in range(5)))
    assert len(set(map(id, pools))) == 1


async def test_the_listener_hears_and_comes_back(database: Database) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = Listener(database)
    listener.on("news", heard.put_nowait)
    await listener.start()
    try:
        assert await asyncio.wait_for(heard.get(), 5) == ""  # begun: look for what was missed
        async with database.raw() as pg:
            await pg.execute("SELECT pg_notify('news', 'one')")
            assert await asyncio.wait_for(heard.get(), 5) == "one"
            await pg.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND query ILIKE 'LISTEN%'"
            )
            assert await asyncio.wait_for(heard.get(), 5) == ""
            await pg.execute("SELECT pg_notify('news', 'two')")
            assert await asyncio.wait_for(heard.get(), 5) == "two"
    finally:
        await listener.stop()


async def test_a_closed_database_opens_no_more(database_url: str) -> None:
    db = Database(database_url, pool_size=2)
    opening = asyncio.create_task(db.pool())
    await asyncio.sleep(0)
    await db.close()  # a pool that is being opened is waited for, and closed
    assert (await opening).is_closing()
    with pytest.raises(Unavailable, match="closed"):
        async with db.raw():
            pass
    await db.close()


async def test_retrying_gives_up_in_time() -> None:
    calls = 0

    async def away() -> None:
        nonlocal calls
        calls += 1
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await retrying(away, seconds=0.1, wait_s=0.03)
    assert calls >= 3


def test_socket_urls_hold_any_folder() -> None:
    url = socket_url("/a b/c,d%", 5432, "u", "n")
    assert Database(url)._url.query["host"] == "/a b/c,d%"
