"""Brings a database to the version of the code: `lead-router migrate`, and every start of `lead-router up`."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from services.runtime.db import Database
from services.runtime.errors import Misconfigured, Unavailable

log = structlog.get_logger(__name__)

VERSION_TABLE: Final = "lead_router_version"
# Any number that nobody else uses: two processes that start at once migrate one after the other.
ADVISORY_LOCK: Final = 7_209_471_103
OLDEST_POSTGRES: Final = 15


def config() -> Config:
    """Alembic's settings, without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return made


def head() -> str:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(config()).get_current_head() or ""


async def migrate(db: Database, revision: str = "head") -> None:
    """Upgrade to `revision`, in one transaction; a second process that starts meanwhile waits.

    Raises:
        Misconfigured: The database is too old, was written by a newer version of us, or does not let us.
        Unavailable: The database is away, or a table is busy; try again.
    """
    await _run(db, lambda settings: command.upgrade(settings, revision))


async def downgrade(db: Database, revision: str) -> None:
    """Go back to `revision` (`base`: everything away). Raises as `migrate` does."""
    await _run(db, lambda settings: command.downgrade(settings, revision))


async def version(db: Database) -> str | None:
    """The revision a database is at; None for one that was never migrated."""
    async with db.raw() as pg:
        if await pg.fetchval("SELECT to_regclass($1)", f"public.{VERSION_TABLE}") is None:
            return None
        found = await pg.fetchval(f"SELECT version_num FROM public.{VERSION_TABLE}")
        return str(found) if found is not None else None


async def behind(db: Database) -> str | None:
    """None when the database is at the version of the code, else what to do, in words."""
    at, wanted = await version(db), head()
    if at == wanted:
        return None
    return f"the database is at version {at or 'none'}, this code needs {wanted}; run: lead-router migrate"


async def _run(db: Database, change: Callable[[Config], None]) -> None:
    def work(connection: Connection) -> None:
        server = int(connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
        if server < OLDEST_POSTGRES:
            msg = f"PostgreSQL {server} at {db.shown} is too old; {OLDEST_POSTGRES} or newer is needed"
            raise Misconfigured(msg)
        settings = config()
        settings.attributes["connection"] = connection
        change(settings)

    try:
        async with db.begin() as connection:
            # Whoever comes second waits for the first as long as it takes; a migration may take longer than a query.
            for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
                await connection.execute(text(f"SET LOCAL {setting} = 0"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            # But a table that is busy must not hold up those queueing behind us: fail, and be started again.
            await connection.execute(text("SET LOCAL lock_timeout = '10s'"))
            await connection.run_sync(work)
    except CommandError as error:
        msg = (
            f"the database at {db.shown} does not fit this version of lead-router ({error}); "
            "it was probably written by a newer one: install that, or restore a backup"
        )
        raise Misconfigured(msg, code="database_newer") from error
    except DBAPIError as error:
        raise _translated(db, error) from error


def _translated(db: Database, error: DBAPIError) -> Exception:
    cause = error.orig.__cause__ if error.orig is not None else None
    match cause:
        case asyncpg.InsufficientPrivilegeError():
            msg = (
                f"the user of {db.shown} may not make our tables ({cause}); "
                "let it: GRANT CREATE ON DATABASE … TO …, GRANT CREATE ON SCHEMA public TO …"
            )
            return Misconfigured(msg)
        case asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            msg = f"a table of {db.shown} is busy: {cause}; nothing was changed"
            return Unavailable(msg, code="migration_busy")
        case _:
            log.error("a migration failed; nothing was changed", statement=error.statement)
            return error
