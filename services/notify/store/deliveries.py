"""Which deliveries are due, and what became of them? Taken and settled in short transactions, none open during a send."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from services.eventlog.ports import Connection
from services.notify.core.attempt import Outcome
from services.notify.core.delivery import INBOX, Purpose, State, Who
from services.notify.core.notice import Notice, decode
from services.notify.store.endpoints import CHANNEL as ENDPOINT_CHANNEL

# Well above the longest send: whoever is later than this has been killed or frozen.
REPLAYED: Final = "replayed"
TAKEN_FOR: Final = timedelta(seconds=60)

LOCK = """
SELECT enabled, concurrency, per_s, tat, failures, failing_since, pause_until FROM notify.endpoint WHERE id = $1 FOR UPDATE"""
# A change waits for the message that it changes. What others have taken counts against the endpoint's limit.
TAKE = """
WITH flying AS (
  SELECT count(*) AS n FROM notify.delivery WHERE endpoint = $1 AND state = 'due' AND taken_until > $2
), due AS (
  SELECT d.id FROM notify.delivery d
   WHERE d.endpoint = $1 AND d.state = 'due' AND d.due_at <= $2 AND (d.taken_until IS NULL OR d.taken_until <= $2)
     AND NOT (d.purpose = 'change' AND EXISTS (
           SELECT 1 FROM notify.delivery b WHERE b.notice_id = d.notice_id AND b.endpoint = d.endpoint AND b.id <> d.id
              AND b.state IN ('due', 'held') AND b.purpose IN ('tell', 'change') AND b.seq < d.seq))
   ORDER BY d.due_at, d.id LIMIT greatest(0, least($3, $4 - (SELECT n FROM flying))) FOR UPDATE OF d SKIP LOCKED
), taken AS (
  UPDATE notify.delivery d SET attempts = d.attempts + 1, taken_until = $5, taken_by = $6,
         unsettled = d.unsettled + (d.taken_until IS NOT NULL)::int, uncertain = d.uncertain OR d.taken_until IS NOT NULL
    FROM due WHERE d.id = due.id RETURNING d.*
)
SELECT t.id, t.rep_id AS rep, t.who, t.purpose, t.notice_id, t.step, t.attempts, t.unsettled, t.uncertain, t.created_at, t.reason,
       t.due_at, n.body::text AS body, coalesce(n.read_at IS NOT NULL, false) AS read,
       coalesce(n.delivered_at IS NOT NULL, false) AS delivered,
       coalesce((SELECT max(p.shown_seq) FROM notify.delivery p WHERE p.notice_id = t.notice_id AND p.endpoint = $1), 0)
         AS shown_seq,
       (SELECT p.receipt::text FROM notify.delivery p WHERE p.notice_id = t.notice_id AND p.endpoint = $1
           AND p.receipt IS NOT NULL ORDER BY p.settled_at DESC LIMIT 1) AS receipt
  FROM taken t LEFT JOIN notify.notice n ON n.id = t.notice_id ORDER BY t.due_at, t.id"""
GATHER = """
UPDATE notify.delivery SET digest_id = $1
 WHERE endpoint = $2 AND rep_id = $3 AND state = 'held' AND digest_id IS NULL AND due_at <= $4"""
ITEMS = """
SELECT d.id, n.body::text AS body, n.read_at IS NOT NULL AS read, n.delivered_at IS NOT NULL AS delivered
  FROM notify.delivery d JOIN notify.notice n ON n.id = d.notice_id
 WHERE d.digest_id = $1 AND d.state = 'held' ORDER BY n.created_at, n.id"""
NOW = """
SELECT id, body::text AS body, read_at IS NOT NULL AS read, delivered_at IS NOT NULL AS delivered FROM notify.notice
 WHERE id = ANY($1::text[])"""
SETTLE = """
UPDATE notify.delivery d SET state = u.state, due_at = u.due, reason = u.reason, detail = u.detail, attempts = d.attempts - u.back,
       receipt = coalesce(u.receipt::json, d.receipt), shown_seq = greatest(d.shown_seq, u.seq), taken_until = NULL,
       taken_by = NULL, unsettled = 0, uncertain = u.uncertain,
       settled_at = CASE WHEN u.state IN ('due', 'held') THEN NULL ELSE $11::timestamptz END
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::bigint[],
              $9::bool[], $10::int[]) AS u(id, token, state, due, reason, detail, receipt, seq, uncertain, back)
 WHERE d.id = u.id AND d.taken_by = u.token RETURNING d.id"""
SETTLE_ITEMS = """
UPDATE notify.delivery d SET state = u.state, reason = u.reason, shown_seq = greatest(d.shown_seq, u.seq), settled_at = $6,
       receipt = coalesce(u.receipt::json, d.receipt)
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) AS u(id, state, reason, seq, receipt)
 WHERE d.id = u.id AND d.state = 'held'"""
HEALTH = """
UPDATE notify.endpoint SET tat = $2, failures = $3, failing_since = $4, pause_until = $5,
       last_ok_at = coalesce($6, last_ok_at), last_error = coalesce($7, last_error),
       last_error_at = CASE WHEN $7::text IS NULL THEN last_error_at ELSE $8::timestamptz END
 WHERE id = $1"""
DISABLE = """
UPDATE notify.endpoint SET enabled = false, disabled_reason = $2, disabled_at = $3, version = version + 1 WHERE id = $1"""
# However much waits, each endpoint costs a few looks at an index.
DUE = """
SELECT e.id, count(d.due_at) AS n, min(d.due_at) AS oldest
  FROM (SELECT id FROM notify.endpoint WHERE enabled UNION ALL SELECT $2) e
 CROSS JOIN LATERAL (SELECT due_at FROM notify.delivery
                      WHERE endpoint = e.id AND state = 'due' AND due_at <= $1 AND (taken_until IS NULL OR taken_until <= $1)
                      ORDER BY due_at LIMIT 1000) d
 GROUP BY e.id"""
# Nothing that was held may be forgotten: should its digest be gone, it gets one.
ORPHANS = """
INSERT INTO notify.delivery (id, endpoint, rep_id, who, purpose, seq, state, due_at, created_at)
SELECT md5('digest|' || min(h.id)), h.endpoint, h.rep_id, 'rep', 'digest', 0, 'due', $1, $1 FROM notify.delivery h
 WHERE h.state = 'held' AND h.due_at < $2 AND NOT EXISTS (
       SELECT 1 FROM notify.delivery g WHERE g.purpose = 'digest' AND g.state = 'due' AND g.endpoint = h.endpoint AND g.rep_id = h.rep_id)
 GROUP BY h.endpoint, h.rep_id ON CONFLICT (id) DO UPDATE SET state = 'due', due_at = excluded.due_at, attempts = 0"""
# Planned at the moment in which the channel was deleted.
NOBODYS = """
DELETE FROM notify.delivery d WHERE d.state IN ('due', 'held') AND d.endpoint <> $1
   AND NOT EXISTS (SELECT 1 FROM notify.endpoint e WHERE e.id = d.endpoint)"""
PRUNE = """
DELETE FROM notify.delivery WHERE id = ANY(ARRAY(
    SELECT id FROM notify.delivery WHERE notice_id IS NULL AND settled_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))"""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's queue as it stands, locked."""

    enabled: bool
    concurrency: int
    per_s: float
    tat: datetime | None
    failures: int
    failing_since: datetime | None
    pause_until: datetime | None


class Item(msgspec.Struct, frozen=True):
    """A held delivery inside a digest."""

    id: str
    notice: Notice
    read: bool
    delivered: bool


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A due delivery that is ours until `TAKEN_FOR` has passed.

    Attributes:
        unsettled: How often it was taken and nobody said what became of it, since it was last settled.
        uncertain: An earlier try may have arrived.
        forced: An operator has put it back.
    """

    id: str
    rep: str
    who: Who
    purpose: Purpose
    notice: Notice | None
    step: int
    attempts: int
    unsettled: int
    uncertain: bool
    forced: bool
    created_at: datetime
    due_at: datetime
    read: bool
    delivered: bool
    shown_seq: int
    receipt: dict[str, str] | None
    items: tuple[Item, ...] = ()


class ItemEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a held delivery."""

    id: str
    state: State
    reason: str = ""
    seq: int = 0


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a taken delivery.

    Attributes:
        outcome: What the far side said; None when it was not asked.
        back: 1 when the try is not to be counted.
        seq: The version of the notice that the far side has now, 0: none.
    """

    id: str
    rep: str
    state: State
    due_at: datetime
    reason: str = ""
    detail: str = ""
    receipt: Mapping[str, str] | None = None
    seq: int = 0
    uncertain: bool = False
    back: int = 0
    outcome: Outcome | None = None
    retry_after_s: float | None = None
    items: tuple[ItemEnd, ...] = ()


async def lock(pg: Connection, endpoint: str) -> Limits | None:
    """The queue of an endpoint, locked; None when there is no such endpoint any more."""
    row = await pg.fetchrow(LOCK, endpoint)
    return Limits(**dict(row)) if row is not None else None


async def take(pg: Connection, endpoint: str, now: datetime, *, limit: int, flying_max: int, token: str) -> list[Taken]:
    """At most `limit` due deliveries, the longest due first, so that at most `flying_max` are under way anywhere."""
    rows = await pg.fetch(TAKE, endpoint, now, limit, flying_max, now + TAKEN_FOR, token)
    return [await _taken(pg, endpoint, row, now) for row in rows]


async def _taken(pg: Connection, endpoint: str, row: Mapping[str, Any], now: datetime) -> Taken:
    items: list[Item] = []
    if row["purpose"] == "digest":
        if row["attempts"] == 1:
            await pg.execute(GATHER, row["id"], endpoint, row["rep"], now)
        items = [Item(r["id"], decode(r["body"]), r["read"], r["delivered"]) for r in await pg.fetch(ITEMS, row["id"])]
    body, receipt = row["body"], row["receipt"]
    return Taken(
        id=row["id"],
        rep=row["rep"],
        who=row["who"],
        purpose=row["purpose"],
        notice=decode(body) if body is not None else None,
        step=row["step"],
        attempts=row["attempts"],
        unsettled=row["unsettled"],
        uncertain=row["uncertain"],
        forced=row["reason"] == REPLAYED,
        created_at=row["created_at"],
        due_at=row["due_at"],
        read=row["read"],
        delivered=row["delivered"],
        shown_seq=row["shown_seq"],
        receipt=msgspec.json.decode(receipt, type=dict[str, str]) if receipt is not None else None,
        items=tuple(items),
    )


async def again(pg: Connection, taken: Sequence[Taken]) -> list[Taken]:
    """The same deliveries with their notices as they are now."""
    rows = {row["id"]: row for row in await pg.fetch(NOW, [one.notice.id for one in taken if one.notice is not None])}
    found = []
    for one in taken:
        row = rows.get(one.notice.id) if one.notice is not None else None
        notice = decode(row["body"]) if row is not None else None
        read, delivered = (row["read"], row["delivered"]) if row is not None else (False, False)
        found.append(msgspec.structs.replace(one, notice=notice, read=read, delivered=delivered))
    return found


async def settle(pg: Connection, ended: Sequence[Settlement], token: str, now: datetime) -> None:
    """Keep what became of taken deliveries, and of the held ones inside digests. What was taken from us stays theirs."""
    if not ended:
        return
    ours = {
        row["id"]
        for row in await pg.fetch(
            SETTLE,
            [s.id for s in ended],
            [token] * len(ended),
            [s.state for s in ended],
            [s.due_at for s in ended],
            [s.reason for s in ended],
            [s.detail for s in ended],
            [_receipt(s) for s in ended],
            [s.seq for s in ended],
            [s.uncertain for s in ended],
            [s.back for s in ended],
            now,
        )
    }
    items = [(s, item) for s in ended if s.id in ours for item in s.items]
    if items:
        await pg.execute(
            SETTLE_ITEMS,
            [item.id for _, item in items],
            [item.state for _, item in items],
            [item.reason for _, item in items],
            [item.seq for _, item in items],
            # What changes later is one notice, so only a message about one alone can be changed.
            [_receipt(s) if len(s.items) == 1 else None for s, _ in items],
            now,
        )


def _receipt(one: Settlement) -> str | None:
    return None if one.receipt is None else msgspec.json.encode(one.receipt).decode()


async def health(pg: Connection, endpoint: str, after: Limits, now: datetime, *, ok: bool, error: str | None) -> None:
    """Keep how the endpoint is doing."""
    await pg.execute(
        HEALTH,
        endpoint,
        after.tat,
        after.failures,
        after.failing_since,
        after.pause_until,
        now if ok else None,
        error,
        now,
    )


async def disable(pg: Connection, endpoint: str, why: str, now: datetime) -> None:
    """Take an endpoint out of use; what waits stays."""
    await pg.execute(DISABLE, endpoint, why, now)
    await pg.execute("SELECT pg_notify($1, '')", ENDPOINT_CHANNEL)


async def due(pg: Connection, now: datetime) -> dict[str, tuple[int, datetime]]:
    """Endpoints with due deliveries that nobody has taken: how many (at most 1,000), and the oldest."""
    return {row["id"]: (row["n"], row["oldest"]) for row in await pg.fetch(DUE, now, INBOX)}


async def tidy(pg: Connection, now: datetime) -> None:
    """Give forgotten held deliveries a digest; drop what waits for channels that are gone, and digests long settled."""
    await pg.execute(NOBODYS, INBOX)
    await pg.execute(ORPHANS, now, now - timedelta(minutes=2))
    await pg.execute(PRUNE, now - timedelta(days=90), 1000)
