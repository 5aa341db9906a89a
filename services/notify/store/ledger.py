"""What was sent and what was not? Deliveries for operations: listed, shown, put back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from services.notify.core.notice import Notice, decode
from services.notify.store.deliveries import REPLAYED
from services.notify.store.plans import DELIVERY_CHANNEL
from services.runtime.db import Database

REPLAY_MAX: Final = 1000
COLUMNS: Final = (
    "d.id, d.endpoint, e.name, e.kind, d.rep_id AS rep, d.who, d.purpose, d.notice_id, d.step, d.state, d.due_at, d.created_at, "
    "d.settled_at, d.attempts, d.uncertain, d.taken_until, d.digest_id, d.reason, d.detail"
)
LIST = f"""
SELECT {COLUMNS} FROM notify.delivery d LEFT JOIN notify.endpoint e ON e.id = d.endpoint
 WHERE ($1::text IS NULL OR d.state = $1) AND ($2::text IS NULL OR d.endpoint = $2 OR e.name = $2)
   AND ($3::text IS NULL OR d.rep_id = $3) AND ($4::text IS NULL OR d.notice_id = $4)
   AND ($5::timestamptz IS NULL OR (d.created_at, d.id) < ($5, $6))
 ORDER BY d.created_at DESC, d.id DESC LIMIT $7"""
ONE = f"""
SELECT {COLUMNS} FROM notify.delivery d LEFT JOIN notify.endpoint e ON e.id = d.endpoint WHERE d.id = $1"""
REPLAY = f"""
UPDATE notify.delivery d SET state = 'due', due_at = $3::timestamptz, attempts = 0,
       unsettled = 0, uncertain = false, taken_until = NULL, taken_by = NULL, settled_at = NULL, reason = '{REPLAYED}', detail = '',
       shown_seq = 0
 WHERE id IN (
   SELECT r.id FROM notify.delivery r LEFT JOIN notify.endpoint e ON e.id = r.endpoint
    WHERE ($1::text IS NULL OR r.id = $1) AND ($2::text IS NULL OR r.endpoint = $2 OR e.name = $2)
      AND r.state IN ('gave_up', 'skipped', 'delivered') AND ($1::text IS NOT NULL OR r.state = 'gave_up')
      AND r.digest_id IS NULL
    ORDER BY r.created_at, r.id LIMIT $4 FOR UPDATE OF r SKIP LOCKED)
RETURNING d.id, d.endpoint, d.purpose"""
REHOLD = """
UPDATE notify.delivery SET state = 'held', settled_at = NULL, shown_seq = 0
 WHERE digest_id = ANY($1::text[]) AND state IN ('gave_up', 'delivered')"""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries; None is any. `endpoint` by id or name."""

    state: str | None = None
    endpoint: str | None = None
    rep: str | None = None
    notice: str | None = None


class Ledger:
    """Reads and replays."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, wanted: Filter, limit: int, after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
        """Deliveries, newest first; `after` is (created_at, id) of the last one seen."""
        at, last = after or (None, None)
        async with self._db.raw() as pg:
            rows = await pg.fetch(LIST, wanted.state, wanted.endpoint, wanted.rep, wanted.notice, at, last, limit)
        return [dict(row) for row in rows]

    async def one(self, delivery_id: str) -> Mapping[str, Any] | None:
        """One delivery."""
        async with self._db.raw() as pg:
            row = await pg.fetchrow(ONE, delivery_id)
        return dict(row) if row is not None else None

    async def notice(self, rep: str, notice_id: str) -> Notice | None:
        """A rep's notice, as stored."""
        async with self._db.raw() as pg:
            body = await pg.fetchval(
                "SELECT body::text FROM notify.notice WHERE id = $1 AND rep_id = $2", notice_id, rep
            )
        return decode(body) if body is not None else None

    async def replay(self, now: datetime, *, delivery_id: str | None = None, endpoint: str | None = None) -> int:
        """Put one delivery back, or those that were given up (of an endpoint), at most `REPLAY_MAX` a call.

        Its id, and with it the far side's idempotency key, stays. What goes out with a digest goes back with it.

        Returns:
            How many were put back.
        """
        limit = 1 if delivery_id is not None else REPLAY_MAX
        async with self._db.transaction() as pg:
            rows = await pg.fetch(REPLAY, delivery_id, endpoint, now, limit)
            digests = [row["id"] for row in rows if row["purpose"] == "digest"]
            if digests:
                await pg.execute(REHOLD, digests)
            names = sorted({row["endpoint"] for row in rows})
            await pg.execute("SELECT pg_notify($1, u) FROM unnest($2::text[]) u", DELIVERY_CHANNEL, names)
        return len(rows)
