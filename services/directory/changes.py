"""Which accounts have changed since a version of the directory? For those who act on what lies there already."""

from collections.abc import Sequence

import asyncpg

from services.runtime.db import Database


async def note(pg: asyncpg.pool.PoolConnectionProxy, domains: Sequence[str]) -> None:
    """Remember that these accounts change with the version that `DirectoryStore.changing` is about to write."""
    await pg.execute(
        "INSERT INTO directory.change (domain, version) SELECT d, s.version + 1 FROM unnest($1::text[]) d, directory.state s"
        " ON CONFLICT (domain) DO UPDATE SET version = excluded.version",
        domains,
    )


async def newest(db: Database) -> int:
    """The newest version at which an account changed."""
    async with db.raw() as pg:
        return int(await pg.fetchval("SELECT accounts FROM directory.state"))


async def between(db: Database, after: int, to: int) -> set[str]:
    """Domains whose newest change came after one version, up to another. What is gone counts as changed."""
    async with db.raw() as pg:
        rows = await pg.fetch("SELECT domain FROM directory.change WHERE version > $1 AND version <= $2", after, to)
        return {row["domain"] for row in rows}
