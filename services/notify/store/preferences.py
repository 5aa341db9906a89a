"""What have reps, and the company for everybody, asked for?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from services.eventlog.ports import Connection
from services.notify.core.preference import Preferences
from services.runtime.db import Database

EVERYBODY: Final = ""
SAVE = """
INSERT INTO notify.preference (rep_id, body, updated_at, updated_by) VALUES ($1, $2::json, $3, $4)
ON CONFLICT (rep_id) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at, updated_by = excluded.updated_by"""


async def load(pg: Connection, reps: Sequence[str]) -> dict[str, Preferences]:
    """What was set for these reps, and for everybody (key: the empty text), if anything."""
    rows = await pg.fetch(
        "SELECT rep_id, body::text AS body FROM notify.preference WHERE rep_id = ANY($1::text[])", [EVERYBODY, *reps]
    )
    return {row["rep_id"]: msgspec.json.decode(row["body"], type=Preferences) for row in rows}


async def save(db: Database, rep: str, asked: Preferences, now: datetime, by: str) -> None:
    """Keep what was asked for; nothing asked for removes the row."""
    async with db.transaction() as pg:
        if asked == Preferences():
            await pg.execute("DELETE FROM notify.preference WHERE rep_id = $1", rep)
        else:
            await pg.execute(SAVE, rep, msgspec.json.encode(asked).decode(), now, by)
