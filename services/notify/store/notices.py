"""How notices are stored and read: everything of a batch in a handful of statements, none per message."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from services.eventlog.ports import Connection
from services.notify.core.desk import Desk, desk, numbered
from services.notify.core.greeting import Greeting
from services.notify.core.message import Needs
from services.notify.core.notice import ALERTS, Notice, decode, encode
from services.runtime.db import Database

INBOX_CHANNEL: Final = "notify_inbox"
SITE_CHANNEL: Final = "notify_site"
# How long a notice can be looked up: as long as the dedupe days of the events behind it.
KEPT_DAYS: Final = 90
PRUNE_ROWS: Final = 5000

CLAIM = """
INSERT INTO notify.handled (message_id, at, kind, notices, occurred_at, received_at, routed_at)
SELECT u.id, $2, u.kind, u.n, u.occurred, u.received, u.routed
  FROM unnest($1::uuid[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[])
       AS u(id, kind, n, occurred, received, routed)
ON CONFLICT DO NOTHING RETURNING message_id"""

# Every notice of a lead was made by messages of that lead's partition, which only we hold: this list cannot grow
# between this look and the lock.
REPS_OF_LEADS = """
SELECT DISTINCT rep_id FROM notify.notice WHERE (leads && $1::text[] AND open) OR leads && $2::text[]"""

MAKE_INBOXES = "INSERT INTO notify.inbox (rep_id) SELECT r FROM unnest($1::text[]) r ON CONFLICT DO NOTHING"
LOCK_INBOXES = """
SELECT rep_id, seq, budget_left, budget_at FROM notify.inbox WHERE rep_id = ANY($1::text[]) ORDER BY rep_id FOR UPDATE"""

LOAD = """
SELECT rep_id, body FROM notify.notice WHERE rep_id = ANY($1::text[]) AND open AND collapse_key = ANY($2::text[])
   AND created_at > $3
UNION ALL
SELECT rep_id, body FROM notify.notice WHERE leads && $4::text[] AND open
UNION ALL
SELECT rep_id, body FROM notify.notice WHERE leads && $5::text[]"""

SAVE_INBOXES = """
UPDATE notify.inbox i SET seq = u.seq, budget_left = u.left_, budget_at = u.at
  FROM unnest($1::text[], $2::bigint[], $3::float8[], $4::timestamptz[]) AS u(rep, seq, left_, at) WHERE i.rep_id = u.rep"""

SAVE_NOTICES = """
INSERT INTO notify.notice (id, rep_id, seq, kind, state, open, leads, collapse_key, fresh_until, occurred_at, received_at,
                           created_at, updated_at, body)
SELECT u.id, u.rep, u.seq, u.kind, u.state, u.open, string_to_array(u.leads, ' '), u.key, u.fresh, u.occurred, u.received,
       u.created, u.updated, u.body::json
  FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bool[], $7::text[], $8::text[],
              $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::text[])
       AS u(id, rep, seq, kind, state, open, leads, key, fresh, occurred, received, created, updated, body)
ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, kind = excluded.kind, state = excluded.state, open = excluded.open,
  leads = excluded.leads, collapse_key = excluded.collapse_key, fresh_until = excluded.fresh_until,
  occurred_at = excluded.occurred_at, received_at = excluded.received_at, updated_at = excluded.updated_at,
  body = excluded.body, delivered_at = NULL, read_at = NULL"""

SAVE_GREETINGS = """
INSERT INTO notify.greeting (visitor, id, lead_id, body, until)
SELECT u.visitor, u.id, u.lead, u.body::json, u.until
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS u(visitor, id, lead, body, until)
ON CONFLICT (visitor) DO UPDATE SET id = excluded.id, lead_id = excluded.lead_id, body = excluded.body, until = excluded.until"""

TELL = "SELECT pg_notify($1, u) FROM unnest($2::text[]) u"

AFTER = """
SELECT n.rep_id, n.seq, n.id, n.kind, n.state, n.fresh_until, n.occurred_at, n.received_at, n.delivered_at, n.body
  FROM unnest($1::text[], $2::bigint[]) AS u(rep, after)
 CROSS JOIN LATERAL (SELECT * FROM notify.notice WHERE rep_id = u.rep AND seq > u.after ORDER BY seq LIMIT $3) n
 ORDER BY n.rep_id, n.seq"""

# A notice that is locked is being changed and will be sent again: its delivery does not matter any more.
OF_LEAD = """
SELECT rep_id AS rep, kind, state, created_at, delivered_at FROM notify.notice
WHERE leads && ARRAY[$1::text] ORDER BY created_at, id LIMIT 200"""

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


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """One message as it is remembered. `kind` is the notice's kind, or the message's when it makes no notice."""

    message_id: UUID
    kind: str
    notices: int
    occurred_at: datetime | None
    received_at: datetime | None
    routed_at: datetime | None


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


async def first_time(pg: Connection, messages: Sequence[Handled], now: datetime) -> set[UUID]:
    """Remember the messages; returns those that had not been handled before."""
    rows = await pg.fetch(
        CLAIM,
        [m.message_id for m in messages],
        now,
        [m.kind for m in messages],
        [m.notices for m in messages],
        [m.occurred_at for m in messages],
        [m.received_at for m in messages],
        [m.routed_at for m in messages],
    )
    return {UUID(bytes=row["message_id"].bytes) for row in rows}


async def load(pg: Connection, wanted: Needs, now: datetime, window_s: float) -> dict[str, Desk]:
    """Lock the inboxes that the messages touch, in rep order, and load what they may change.

    Args:
        window_s: Alerts join notices at most this old, in seconds.
    """
    reps = set(wanted.reps)
    if wanted.leads or wanted.erased:
        found = await pg.fetch(REPS_OF_LEADS, list(wanted.leads), list(wanted.erased))
        reps.update(row["rep_id"] for row in found)
    if not reps:
        return {}
    names = sorted(reps)
    locked = await pg.fetch(LOCK_INBOXES, names)
    if len(locked) < len(names):
        await pg.execute(MAKE_INBOXES, names)
        locked = await pg.fetch(LOCK_INBOXES, names)
    desks = {r["rep_id"]: desk(r["rep_id"], r["seq"], r["budget_left"], r["budget_at"], now) for r in locked}
    if wanted.keys or wanted.leads or wanted.erased:
        oldest = now - timedelta(seconds=window_s)
        rows = await pg.fetch(LOAD, names, list(wanted.keys), oldest, list(wanted.leads), list(wanted.erased))
        for row in rows:
            notice = decode(row["body"])
            desks[row["rep_id"]].notices[notice.id] = notice
    return desks


async def save(pg: Connection, desks: Iterable[Desk], greetings: Sequence[tuple[str, Greeting]]) -> list[Notice]:
    """Store what has changed and wake the streams at commit; returns the notices stored.

    Args:
        greetings: (lead id, greeting) pairs; of several for one browser the last counts.
    """
    touched = [one for one in desks if one.changed]
    notices = [notice for one in touched for notice in numbered(one)]
    if notices:
        await pg.execute(
            SAVE_INBOXES,
            [one.rep for one in touched],
            [one.seq for one in touched],
            [one.budget.left for one in touched],
            [one.budget.at for one in touched],
        )
        await pg.execute(SAVE_NOTICES, *_columns(notices))
        await pg.execute(TELL, INBOX_CHANNEL, [one.rep for one in touched])
    if greetings:
        last = sorted({g.visitor: (lead, g) for lead, g in greetings}.items())
        await pg.execute(
            SAVE_GREETINGS,
            [visitor for visitor, _ in last],
            [g.id for _, (_, g) in last],
            [lead for _, (lead, _) in last],
            [g.body for _, (_, g) in last],
            [g.until for _, (_, g) in last],
        )
        await pg.execute(TELL, SITE_CHANNEL, [visitor for visitor, _ in last])
    return notices


async def forget_greetings(pg: Connection, leads: Sequence[str]) -> None:
    """Remove the greetings of erased leads."""
    await pg.execute("DELETE FROM notify.greeting WHERE lead_id = ANY($1::text[])", list(leads))


def _columns(notices: Sequence[Notice]) -> tuple[list[Any], ...]:
    return (
        [n.id for n in notices],
        [n.rep for n in notices],
        [n.seq for n in notices],
        [n.kind for n in notices],
        [n.state for n in notices],
        [n.open for n in notices],
        [" ".join(n.leads) for n in notices],
        [n.collapse for n in notices],
        [n.fresh_until if n.kind in ALERTS else None for n in notices],
        [n.occurred_at for n in notices],
        [n.received_at for n in notices],
        [n.created_at for n in notices],
        [n.updated_at for n in notices],
        [encode(n) for n in notices],
    )


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
