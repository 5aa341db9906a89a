"""How stored notices are read: by streams behind their cursors, by lead; what is past its time goes. Writing: `batch`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from services.runtime.db import Database

INBOX_CHANNEL: Final = "notify_inbox"
SITE_CHANNEL: Final = "notify_site"
# How long a notice can be looked up: as long as the dedupe days of the events behind it.
KEPT_DAYS: Final = 90
PRUNE_ROWS: Final = 5000

AFTER = """
SELECT n.rep_id, n.seq, n.id, n.kind, n.state, n.fresh_until, n.occurred_at, n.received_at, n.delivered_at, n.body
  FROM unnest($1::text[], $2::bigint[]) AS u(rep, after)
 CROSS JOIN LATERAL (SELECT * FROM notify.notice WHERE rep_id = u.rep AND seq > u.after ORDER BY seq LIMIT $3) n
 ORDER BY n.rep_id, n.seq"""

# A notice that is locked is being changed and will be sent again: its delivery does not matter any more.
OF_LEAD = """
SELECT rep_id AS rep, kind, state, created_at, delivered_at FROM notify.notice
WHERE id IN (SELECT notice_id FROM notify.notice_lead WHERE lead_id = $1::text) ORDER BY created_at, id LIMIT 200"""

DELIVERED = """
UPDATE notify.notice n SET delivered_at = $3
  FROM (SELECT m.id FROM notify.notice m JOIN unnest($1::text[], $2::bigint[]) AS u(id, seq) ON m.id = u.id AND m.seq = u.seq
         WHERE m.delivered_at IS NULL FOR UPDATE OF m SKIP LOCKED) x
 WHERE n.id = x.id"""

PRUNE_HANDLED = """
DELETE FROM notify.handled WHERE message_id = ANY(ARRAY(
    SELECT message_id FROM notify.handled WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))"""
PRUNE_NOTICES = """
DELETE FROM notify.notice WHERE id = ANY(ARRAY(
    SELECT id FROM notify.notice WHERE updated_at < $1 ORDER BY updated_at LIMIT $2 FOR UPDATE SKIP LOCKED))"""
PRUNE_GREETINGS = """
DELETE FROM notify.greeting WHERE visitor = ANY(ARRAY(
    SELECT visitor FROM notify.greeting WHERE until < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))"""


class Row(msgspec.Struct, frozen=True, gc=False):
    """A stored notice on its way to a reader."""

    rep: str
    seq: int
    id: str
    kind: str
    state: str
    fresh_until: datetime | None
    occurred_at: datetime | None
    received_at: datetime | None
    delivered_at: datetime | None
    body: str


async def after(db: Database, cursors: Mapping[str, int], limit: int) -> list[Row]:
    """Notices behind each rep's cursor, by rep and seq, at most `limit` a rep."""
    async with db.raw() as pg:
        rows = await pg.fetch(AFTER, list(cursors), list(cursors.values()), limit)
    return [Row(*row) for row in rows]


async def notices_of(db: Database, lead_id: str) -> list[dict[str, Any]]:
    """Who was told of a lead, oldest first: rep, kind, state, created_at, delivered_at (None: on no screen yet)."""
    async with db.raw() as pg:
        return [dict(row) for row in await pg.fetch(OF_LEAD, lead_id)]


async def seq_of(db: Database, rep: str) -> int:
    """The number of the newest change in the rep's inbox; 0 when there is none."""
    async with db.raw() as pg:
        return await pg.fetchval("SELECT seq FROM notify.inbox WHERE rep_id = $1", rep) or 0


async def note_delivered(db: Database, pushed: Mapping[str, int], now: datetime) -> None:
    """Remember that these notices (id to seq) reached a screen."""
    async with db.raw() as pg:
        await pg.execute(DELIVERED, list(pushed), list(pushed.values()), now)


async def greetings_for(db: Database, visitors: Sequence[str], now: datetime) -> list[tuple[str, str, str]]:
    """(visitor, greeting id, body) of those visitors that are to be greeted now."""
    async with db.raw() as pg:
        rows = await pg.fetch(
            "SELECT visitor, id, body FROM notify.greeting WHERE visitor = ANY($1::text[]) AND until > $2",
            list(visitors),
            now,
        )
    return [(row["visitor"], row["id"], row["body"]) for row in rows]


async def prune(db: Database, now: datetime, handled_days: int) -> None:
    """Drop what is past its time, a bounded number of rows a call.

    Args:
        handled_days: How long a repeated message may still come: longer than the log keeps records.
    """
    async with db.raw() as pg:
        await pg.execute(PRUNE_HANDLED, now - timedelta(days=handled_days), PRUNE_ROWS)
        await pg.execute(PRUNE_NOTICES, now - timedelta(days=KEPT_DAYS), PRUNE_ROWS)
        await pg.execute(PRUNE_GREETINGS, now, PRUNE_ROWS)
