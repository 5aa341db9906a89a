"""A real PostgreSQL for tests: one server a session (and xdist worker), one migrated template, one database a test.

`LEAD_ROUTER_TEST_PG=postgresql://user@host:port/postgres` uses a server that already runs; else the embedded one starts.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from services.migrations.run import migrate
from services.runtime.db import Database

T = TypeVar("T")


def run_alone(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, leaving the test's loop alone. Call from the main thread."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def url_of(server: str, name: str) -> str:
    """The URL of database `name` on `server`."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def execute(server: str, *statements: str) -> None:
    """Run statements outside a transaction."""
    connection = await asyncpg.connect(server, timeout=30)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server's database `postgres`, where we may create databases."""
    given = os.environ.get("LEAD_ROUTER_TEST_PG")
    if given:
        yield given
        return
    from services.runtime.embedded import EmbeddedPostgres

    folder = Path(tempfile.mkdtemp(prefix="lead-router-test-"))
    # A test's data need not survive the machine; what must survive is tested with the product's own settings.
    server = EmbeddedPostgres(folder, extra={"fsync": "off", "full_page_writes": "off", "max_connections": "200"})
    try:
        yield url_of(run_alone(server.start(supervised=False)), "postgres")
    finally:
        run_alone(server.stop())
        shutil.rmtree(folder, ignore_errors=True)


async def _make_template(server: str, name: str) -> None:
    await execute(server, f'CREATE DATABASE "{name}"')
    db = Database(url_of(server, name), pool_size=2)
    try:
        await migrate(db)
    finally:
        await db.close()
    # Nobody may connect, autovacuum neither: a template in use cannot be copied.
    await execute(server, f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> Iterator[str]:
    """Name of a migrated, empty database to copy from."""
    name = f"test_template_{os.getpid()}_{secrets.token_hex(4)}"
    try:
        run_alone(_make_template(postgres_server, name))
        yield name
    finally:
        run_alone(execute(postgres_server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def empty_database_url(postgres_server: str) -> Iterator[str]:
    """URL of a fresh database without any tables: for tests of the migrations themselves."""
    name = f"test_empty_{secrets.token_hex(6)}"
    run_alone(execute(postgres_server, f'CREATE DATABASE "{name}"'))
    yield url_of(postgres_server, name)
    run_alone(execute(postgres_server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
def database_url(postgres_server: str, template_database: str) -> Iterator[str]:
    """URL of a fresh, migrated database, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    run_alone(execute(postgres_server, f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY FILE_COPY'))
    yield url_of(postgres_server, name)
    run_alone(execute(postgres_server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database of this test alone."""
    db = Database(database_url, pool_size=6)
    yield db
    await db.close()
