"""Decisions with all their inputs, and the events that have been looked at already."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.messages import Cause, Timing
from services.eventlog.ports import Connection
from services.router.core.model import DecisionRecord

COLUMNS: Final = (
    "id", "lead_id", "n", "at", "segment", "stage", "route", "assignee", "causes", "occurred_at", "received_at", "scored_at",
    "routed_at", "record",
)  # fmt: skip
# Answers with the rare ones that were there before.
CAUSES: Final = """
WITH given AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::uuid[]) AS u(event_id, reversed, lead_id)),
     new AS (INSERT INTO router.cause (event_id, reversed, lead_id) SELECT * FROM given
             ON CONFLICT DO NOTHING RETURNING event_id, reversed)
SELECT event_id, reversed FROM given EXCEPT ALL SELECT event_id, reversed FROM new
"""
# The person may have been several leads before: what was merged away is forgotten as well.
FORGET: Final = (
    """UPDATE router.lead SET email = NULL, name = NULL, title = NULL, domain = NULL, account_name = NULL, snapshot = NULL,
       memory = '{}', erased = true WHERE merged_into = ANY($1::uuid[])""",
    """DELETE FROM router.decision WHERE lead_id = ANY($1::uuid[])
       OR lead_id IN (SELECT id FROM router.lead WHERE merged_into = ANY($1::uuid[]))""",
    """DELETE FROM router.cause WHERE lead_id = ANY($1::uuid[])
       OR lead_id IN (SELECT id FROM router.lead WHERE merged_into = ANY($1::uuid[]))""",
)
# Event ids begin with their time, so old ones are a range of the key.
PRUNE: Final = """
DELETE FROM router.cause WHERE (event_id, reversed) IN (
  SELECT event_id, reversed FROM router.cause WHERE event_id < $1::uuid ORDER BY event_id LIMIT $2)
"""
_encode: Final = msgspec.json.Encoder().encode


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision to write, with what led to it and when each step happened."""

    record: DecisionRecord
    causes: list[str]
    timing: Timing
    routed_at: datetime


async def save_decisions(pg: Connection, decided: Sequence[Decided]) -> None:
    """Write the decisions of a transaction."""
    if not decided:
        return
    rows = [
        (
            d.record.id, d.record.lead_id, d.record.n, d.record.now, d.record.verdict.segment, d.record.verdict.stage,
            d.record.verdict.route, d.record.verdict.assignee, d.causes, d.timing.occurred_at, d.timing.received_at,
            d.timing.scored_at, d.routed_at, _encode(d.record).decode(),
        )
        for d in decided
    ]  # fmt: skip
    await pg.copy_records_to_table("decision", schema_name="router", columns=COLUMNS, records=rows)


async def new_causes(pg: Connection, causes: Collection[tuple[Cause, str]]) -> set[tuple[str, bool]]:
    """Remember events; returns those (id, reversed) that nobody had seen before.

    Args:
        causes: Pairs of a cause and the lead it belongs to.
    """
    if not causes:
        return set()
    pairs = sorted({(c.event_id, c.reversed): lead for c, lead in causes}.items())
    rows = await pg.fetch(CAUSES, [k[0] for k, _ in pairs], [k[1] for k, _ in pairs], [lead for _, lead in pairs])
    return {key for key, _ in pairs} - {(row["event_id"].hex, row["reversed"]) for row in rows}


async def forget_leads(pg: Connection, lead_ids: Collection[str]) -> None:
    """Erase what is kept of persons beside the lead row itself."""
    for statement in FORGET:
        await pg.execute(statement, list(lead_ids))


async def prune_causes(pg: Connection, before: datetime, limit: int) -> int:
    """Forget events that happened before `before`, at most `limit`; returns how many."""
    lowest = f"{int(before.timestamp() * 1000):012x}" + "0" * 20
    return int((await pg.execute(PRUNE, lowest, limit)).rsplit(" ", 1)[1])
