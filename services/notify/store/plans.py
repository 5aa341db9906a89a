"""How far is each inbox planned? A cursor per rep over `notify.notice`; its row lock makes planning happen once."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from services.eventlog.ports import Connection
from services.notify.core.delivery import Delivery, EndpointFacts, Known
from services.notify.core.notice import Notice, decode
from services.runtime.db import Database

DELIVERY_CHANNEL: Final = "notify_delivery"
PAGE: Final = 200

MAKE = """
INSERT INTO notify.plan (rep_id) SELECT i.rep_id FROM notify.inbox i
 WHERE NOT EXISTS (SELECT 1 FROM notify.plan p WHERE p.rep_id = i.rep_id) ON CONFLICT DO NOTHING"""
# Another process that plans a rep has the row locked: that rep is left to it.
CLAIM = """
SELECT p.rep_id, p.planned, p.interrupts, i.seq FROM notify.plan p JOIN notify.inbox i ON i.rep_id = p.rep_id
 WHERE i.seq > p.planned ORDER BY p.rep_id LIMIT $1 FOR UPDATE OF p SKIP LOCKED"""
NOTICES = """
SELECT n.body::text AS body, n.delivered_at IS NOT NULL AS delivered
  FROM unnest($1::text[], $2::bigint[]) AS u(rep, after)
 CROSS JOIN LATERAL (SELECT rep_id, seq, body, delivered_at FROM notify.notice
                      WHERE rep_id = u.rep AND seq > u.after ORDER BY seq LIMIT $3) n
 ORDER BY n.rep_id, n.seq"""
KNOWN = "SELECT notice_id, endpoint, purpose, state, step FROM notify.delivery WHERE notice_id = ANY($1::text[])"
# Locked, so that no digest leaves between this look and the rows that are to join it.
DIGESTS = """
SELECT rep_id, endpoint, due_at FROM notify.delivery
 WHERE purpose = 'digest' AND state = 'due' AND attempts = 0 AND rep_id = ANY($1::text[]) FOR UPDATE"""
ENDPOINTS = """
SELECT id, kind, feed, kinds, reps, segments FROM notify.endpoint WHERE enabled ORDER BY created_at, id"""
INSERT = """
INSERT INTO notify.delivery (id, endpoint, rep_id, who, purpose, notice_id, seq, step, state, due_at, reason, created_at)
SELECT u.*, $12 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::int[],
                       $9::text[], $10::timestamptz[], $11::text[])
       AS u(id, endpoint, rep, who, purpose, notice, seq, step, state, due, reason)
ON CONFLICT (id) DO NOTHING"""
ADVANCE = """
UPDATE notify.plan p SET planned = u.planned, interrupts = string_to_array(u.times, ' ')::timestamptz[]
  FROM unnest($1::text[], $2::bigint[], $3::text[]) AS u(rep, planned, times) WHERE p.rep_id = u.rep"""
# What another process has locked it moves itself: two that waited for each other's rows would be a deadlock.
SKIP_ALL = """
UPDATE notify.plan p SET planned = u.seq
  FROM (SELECT l.rep_id, i.seq FROM notify.plan l JOIN notify.inbox i ON i.rep_id = l.rep_id
         WHERE i.seq > l.planned ORDER BY l.rep_id FOR UPDATE OF l SKIP LOCKED) u WHERE p.rep_id = u.rep_id"""
WANTED = """
SELECT EXISTS (SELECT 1 FROM notify.endpoint)
    OR EXISTS (SELECT 1 FROM notify.preference WHERE json_array_length(body->'ladder') > 0)"""


class Claimed(msgspec.Struct, kw_only=True):
    """A rep whose inbox has changed, locked by us. `planned` is the cursor, `seq` the end of the inbox."""

    rep: str
    planned: int
    seq: int
    interrupts: tuple[datetime, ...]
    changed: list[tuple[Notice, bool]] = msgspec.field(default_factory=list)


async def wanted(db: Database) -> bool:
    """Whether anything is to be planned at all: an endpoint, or a ladder to other people."""
    async with db.raw() as pg:
        return bool(await pg.fetchval(WANTED))


async def skip_all(db: Database) -> None:
    """Move every cursor to the end: what happens before the first endpoint is set up is not told later."""
    async with db.transaction() as pg:
        await pg.execute(MAKE)
        await pg.execute(SKIP_ALL)


async def claim(pg: Connection, limit: int) -> list[Claimed]:
    """Lock at most `limit` reps with changed notices; each with its changed notices and whether a screen had them."""
    await pg.execute(MAKE)
    rows = await pg.fetch(CLAIM, limit)
    found = {
        r["rep_id"]: Claimed(rep=r["rep_id"], planned=r["planned"], seq=r["seq"], interrupts=tuple(r["interrupts"]))
        for r in rows
    }
    if found:
        cursors = [one.planned for one in found.values()]
        for row in await pg.fetch(NOTICES, list(found), cursors, PAGE):
            notice = decode(row["body"])
            found[notice.rep].changed.append((notice, row["delivered"]))
    for one in found.values():
        # A full page: there is more behind it. Else all of the inbox has been seen: it was committed with its end.
        one.planned = one.changed[-1][0].seq if len(one.changed) == PAGE else one.seq
    return list(found.values())


async def known(pg: Connection, notices: Sequence[str]) -> dict[str, list[Known]]:
    """What was planned for these notices before."""
    found: dict[str, list[Known]] = {}
    for row in await pg.fetch(KNOWN, list(notices)):
        found.setdefault(row["notice_id"], []).append(
            Known(endpoint=row["endpoint"], purpose=row["purpose"], state=row["state"], step=row["step"])
        )
    return found


async def endpoints(pg: Connection, changing: Collection[str]) -> list[EndpointFacts]:
    """The endpoints in use. `changing`: kinds that can tell what became of a message."""
    return [
        EndpointFacts(
            id=row["id"],
            feed=row["feed"],
            kinds=frozenset(row["kinds"]),
            reps=frozenset(row["reps"]),
            segments=frozenset(row["segments"]),
            changes=row["kind"] in changing,
        )
        for row in await pg.fetch(ENDPOINTS)
    ]


async def digests(pg: Connection, reps: Sequence[str]) -> dict[str, dict[str, datetime]]:
    """Rep to endpoint to when its next digest is due; locked."""
    found: dict[str, dict[str, datetime]] = {}
    for row in await pg.fetch(DIGESTS, list(reps)):
        of_rep = found.setdefault(row["rep_id"], {})
        of_rep[row["endpoint"]] = min(row["due_at"], of_rep.get(row["endpoint"], row["due_at"]))
    return found


async def save(pg: Connection, planned: Sequence[Delivery], now: datetime) -> None:
    """Keep the rows, and wake their endpoints at commit."""
    if not planned:
        return
    await pg.execute(
        INSERT,
        [d.id for d in planned],
        [d.endpoint for d in planned],
        [d.rep for d in planned],
        [d.who for d in planned],
        [d.purpose for d in planned],
        [d.notice_id for d in planned],
        [d.seq for d in planned],
        [d.step for d in planned],
        [d.state for d in planned],
        [d.due_at for d in planned],
        [d.reason for d in planned],
        now,
    )
    ready = sorted({d.endpoint for d in planned if d.state == "due" and d.due_at <= now})
    if ready:
        await pg.execute("SELECT pg_notify($1, u) FROM unnest($2::text[]) u", DELIVERY_CHANNEL, ready)


async def advance(pg: Connection, done: Iterable[tuple[Claimed, tuple[datetime, ...]]]) -> None:
    """Move the cursors of claimed reps, with the times at which each was or will be interrupted."""
    rows = list(done)
    await pg.execute(
        ADVANCE,
        [one.rep for one, _ in rows],
        [one.planned for one, _ in rows],
        [" ".join(t.isoformat() for t in times) for _, times in rows],
    )
