"""The history of the database: up, down and up again, two at once, refusals in words, and no drift."""

import asyncio
import importlib
import pkgutil
from types import ModuleType

import asyncpg
import pytest
from sqlalchemy import Connection, MetaData, inspect, text

import services
from services.migrations.run import behind, downgrade, head, migrate, version
from services.runtime.db import Database
from services.runtime.errors import Misconfigured, Unavailable

OUR_SCHEMAS = ("access", "directory", "ingest", "log", "notify", "policy", "router", "scoring")


async def shape(db: Database) -> list[tuple[object, ...]]:
    """Everything we have made: columns, indexes, constraints, functions."""
    async with db.raw() as pg:
        rows = await pg.fetch(
            """
            SELECT 'column', table_schema, table_name, column_name, data_type, is_nullable, column_default
              FROM information_schema.columns WHERE table_schema = ANY($1)
            UNION ALL SELECT 'index', schemaname, tablename, indexname, indexdef, '', '' FROM pg_indexes
             WHERE schemaname = ANY($1)
            UNION ALL SELECT 'constraint', n.nspname, conrelid::regclass::text, conname, pg_get_constraintdef(c.oid), '', ''
              FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = ANY($1)
            UNION ALL SELECT 'routine', routine_schema, routine_name, routine_type, routine_definition, '', ''
              FROM information_schema.routines WHERE routine_schema = ANY($1)
            """,
            list(OUR_SCHEMAS),
        )
    return sorted(tuple(map(str, row)) for row in rows)


async def test_up_down_up_gives_the_same_tables(empty_database_url: str) -> None:
    db = Database(empty_database_url)
    try:
        assert await version(db) is None
        assert "lead-router migrate" in (await behind(db) or "")
        await migrate(db)
        first = await shape(db)
        assert first
        assert (await version(db), await behind(db)) == (head(), None)
        await downgrade(db, "base")
        assert await shape(db) == []
        await migrate(db)
        assert await shape(db) == first
        await migrate(db)  # nothing to do
    finally:
        await db.close()


async def test_each_step_can_be_taken_back(empty_database_url: str) -> None:
    db = Database(empty_database_url)
    try:
        while await version(db) != head():
            before = await shape(db)
            await migrate(db, "+1")
            await downgrade(db, "-1")
            assert await shape(db) == before
            await migrate(db, "+1")
    finally:
        await db.close()


async def test_two_that_start_at_once_both_succeed(empty_database_url: str) -> None:
    databases = [Database(empty_database_url) for _ in range(3)]
    try:
        await asyncio.gather(*(migrate(db) for db in databases))
        assert await version(databases[0]) == head()
    finally:
        for db in databases:
            await db.close()


async def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    async with database.raw() as pg:
        await pg.execute("UPDATE public.lead_router_version SET version_num = '9999'")
    with pytest.raises(Misconfigured, match="newer"):
        await migrate(database)


async def test_a_busy_table_is_named_and_nothing_changes(empty_database_url: str) -> None:
    db = Database(empty_database_url)
    try:
        await migrate(db)
        before = await shape(db)
        async with db.transaction() as pg:
            await pg.execute("LOCK TABLE access.token IN ACCESS SHARE MODE")
            holder = asyncio.ensure_future(downgrade(db, "0001"))
            while not holder.done():
                await pg.execute("SELECT 1")  # a transaction at work, not an idle one
                await asyncio.sleep(0.2)
            with pytest.raises(Unavailable, match="busy"):
                await holder
        assert await shape(db) == before
    finally:
        await db.close()


async def test_a_user_without_rights_is_told_which(postgres_server: str, empty_database_url: str) -> None:
    pg = await asyncpg.connect(postgres_server)
    try:
        await pg.execute("DROP ROLE IF EXISTS test_weak")
        await pg.execute("CREATE ROLE test_weak LOGIN")
    finally:
        await pg.close()
    owner = Database(empty_database_url)
    url = owner._url.set(username="test_weak", password=None).render_as_string(hide_password=False)
    weak = Database(url)
    try:
        with pytest.raises(Misconfigured, match="GRANT"):
            await migrate(weak)
    finally:
        await weak.close()
        await owner.close()
        pg = await asyncpg.connect(postgres_server)
        await pg.execute("DROP ROLE IF EXISTS test_weak")
        await pg.close()


def tables_modules() -> list[ModuleType]:
    """The `tables.py` of every room that has one."""
    names = [
        name
        for _, name, _ in pkgutil.walk_packages(services.__path__, "services.")
        if name.count(".") == 2 and name.endswith(".tables")
    ]
    return [importlib.import_module(name) for name in names]


@pytest.mark.parametrize("module", tables_modules(), ids=lambda module: module.__name__)
async def test_tables_in_code_are_those_in_the_database(database: Database, module: ModuleType) -> None:
    """A room may leave columns out that only its hot path knows; what it names must be there, and of that kind."""
    drift: list[str] = []
    schemas: set[str] = set()

    def compare(connection: Connection) -> None:
        found = inspect(connection)
        for metadata in {value for value in vars(module).values() if isinstance(value, MetaData)}:
            for table in metadata.tables.values():
                assert table.schema in OUR_SCHEMAS, f"{table.name} lies in no schema of ours"
                schemas.add(table.schema)
                if not found.has_table(table.name, table.schema):
                    drift.append(f"{table}: no such table")
                    continue
                there = {column["name"]: column for column in found.get_columns(table.name, table.schema)}
                for column in table.columns:
                    if column.name not in there:
                        drift.append(f"{table}.{column.name}: no such column")
                        continue
                    ours = column.type.compile(connection.dialect).split("(")[0]
                    theirs = there[column.name]["type"].compile(connection.dialect).split("(")[0]
                    same = {"VARCHAR": "TEXT", "FLOAT": "DOUBLE PRECISION", "NUMERIC": "NUMERIC"}
                    if same.get(ours, ours) != same.get(theirs, theirs):
                        drift.append(f"{table}.{column.name}: {ours} in code, {theirs} in the database")

    async with database.begin() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.run_sync(compare)
    assert drift == []
    assert len(schemas) <= 1, f"{module.__name__} reaches into another room: {schemas}"
