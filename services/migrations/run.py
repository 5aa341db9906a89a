"""Brings a database to the version of the code: `lead-router migrate`, and every start of `lead-router up`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from services.runtime.db import Database


def config() -> Config:
    """Alembic's settings, without an ini file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent))
    return made


async def migrate(db: Database, revision: str = "head") -> None:
    """Upgrade to `revision`, in one transaction; a second process that starts meanwhile waits."""

    def upgrade(connection: Connection) -> None:
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)

    async with db.engine.connect() as connection:
        await connection.run_sync(upgrade)
        await connection.commit()


async def downgrade(db: Database, revision: str) -> None:
    """Go back to `revision` (`base`: everything away)."""

    def down(connection: Connection) -> None:
        settings = config()
        settings.attributes["connection"] = connection
        command.downgrade(settings, revision)

    async with db.engine.connect() as connection:
        await connection.run_sync(down)
        await connection.commit()
