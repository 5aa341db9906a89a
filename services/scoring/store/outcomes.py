"""What became of each lead: one row an answer of a rep."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

LEAD_ID_CHARS: Final = 32
SAVE: Final = """
INSERT INTO scoring.outcome (id, lead_id, kind, reason, rep, at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) ORDER BY 1
ON CONFLICT (id) DO NOTHING"""


class OutcomeRow(msgspec.Struct, frozen=True):
    """One answer. `id` is the message's."""

    id: str
    lead_id: str
    kind: str
    reason: str | None
    rep: str | None
    at: datetime


async def save(pg: Any, rows: Sequence[OutcomeRow]) -> None:
    """Keep the answers that are not kept yet."""
    if rows:
        await pg.execute(
            SAVE,
            [row.id for row in rows],
            [UUID(row.lead_id) for row in rows],
            [row.kind for row in rows],
            [row.reason for row in rows],
            [row.rep for row in rows],
            [row.at for row in rows],
        )
