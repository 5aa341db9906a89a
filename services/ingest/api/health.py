"""How are the sources doing? What may be shown of each, for the console; keys and secrets never."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.eventlog import deadletter
from services.ingest.commands import describe
from services.ingest.sources.registry import PLATFORMS
from services.ingest.store import SourceStore
from services.runtime.db import Database
from services.runtime.settings import Settings

MOST: Final = 500
ALL: Final = """
SELECT id, name, platform, publishable, disabled, secret IS NOT NULL AS signed, created_at, rotated_at, seen_at,
       accepted, rejected, recent FROM ingest.source ORDER BY name LIMIT $1"""


class SourceHealth:
    """Reads about sources."""

    def __init__(self, db: Database, store: SourceStore, settings: Settings) -> None:
        self._db = db
        self._store = store
        self._settings = settings

    async def all(self) -> Sequence[dict[str, Any]]:
        """Every source, by name: `recent` are its newest events, newest first."""
        async with self._db.raw() as pg:
            rows = [dict(row) for row in await pg.fetch(ALL, MOST)]
        for row in rows:
            if isinstance(row["recent"], str | bytes):
                row["recent"] = msgspec.json.decode(row["recent"])
        return rows

    async def one(self, source_id: str) -> dict[str, Any] | None:
        """One source with what to do in its platform and what was refused last; None when there is none."""
        found = await describe(self._db, self._store, self._settings, source_id)
        return found if found is not None and found["id"] == source_id else None

    async def refused(self) -> dict[str, int]:
        """What waits as dead letter, by reason, all sources together."""
        counts = await deadletter.counts(self._db)
        return {one["reason"]: one["count"] for one in counts if one["stage"] == "ingest"}

    @property
    def platforms(self) -> Sequence[str]:
        """The platforms that a source can be of."""
        return tuple(sorted(PLATFORMS))
