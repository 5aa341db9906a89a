"""The connections of the hot path: one looks ahead, one looks for what turns out to be needed, one commits."""

import asyncio
import contextlib
from typing import Any, Final

import asyncpg

from services.eventlog.fence import translate
from services.runtime.db import AWAY, Database
from services.scoring.store.packed import use_packed

# Plans made on empty tables otherwise stay for a minute; every access here is by key (HOTPATH: the recipe, point 9).
SESSION: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


class Line:
    """One connection of its own, opened when needed and again after it broke. One caller at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._pg: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def use(self) -> Any:
        """The connection; database errors leave as ours, and a broken connection is dropped."""
        async with self._turn:
            if self._pg is None or self._pg.is_closed():
                self._pg = await self._db.connect(**SESSION)
                use_packed(self._pg)
            try:
                yield self._pg
            except (asyncpg.PostgresError, *AWAY) as error:
                self._drop_if_broken(error)
                raise translate(error) from error
            except asyncio.CancelledError:
                self._drop()  # it may be in the middle of an answer
                raise

    def _drop_if_broken(self, error: BaseException) -> None:
        if not isinstance(error, asyncpg.PostgresError) or isinstance(error, AWAY):
            self._drop()

    def _drop(self) -> None:
        if self._pg is not None:
            pg, self._pg = self._pg, None
            pg.terminate()

    async def close(self) -> None:
        """Close it; safe to call twice."""
        async with self._turn:
            self._drop()
