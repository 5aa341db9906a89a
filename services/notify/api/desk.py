"""What a rep's page asks beyond the API: what is open, what has changed since, the rep's own words."""

from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from prometheus_client import Counter

from services.eventlog.ports import Connection
from services.notify.api.inbox import ALERT, OPEN
from services.notify.core.notice import OFFERS, OPEN_STATES, Notice, ShownSay, decode, encode, shown
from services.notify.store.notices import INBOX_CHANNEL, notices_of
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.telemetry import REGISTRY

SUBJECT_MAX: Final = 300
BODY_MAX: Final = 5000

Used = Literal["copied", "mailed", "edited"]
SAID = Counter(
    "leadrouter_say_total",
    "Ready messages that reps used, by how: copied, mailed, or edited first",
    ["how"],
    registry=REGISTRY,
)

COUNT: Final = f"""
SELECT count(DISTINCT CASE WHEN kind IN ({", ".join(repr(kind) for kind in sorted(OFFERS))})
                           THEN coalesce(body #>> '{{assignment,id}}', id) ELSE id END)
  FROM notify.notice WHERE rep_id = $1 AND {OPEN}"""
_COLUMNS: Final = "seq, body::text AS body, delivered_at, read_at, kind, fresh_until"


class Listed(msgspec.Struct, frozen=True):
    """A notice as it may be shown now. `open`: it still needs the rep."""

    notice: Notice
    open: bool


class RepDesk:
    """Reads and small writes of one rep's inbox, for the console."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def open(self, rep: str, limit: int) -> tuple[list[Listed], int, int]:
        """Open notices, newest change first; for how many things they stand; and the newest seq of the inbox.

        An offer and its reminders are one thing to the rep, wherever they stand in the list. The seq is read before the
        notices.
        """
        now = self._clock.now()
        async with self._db.raw() as pg, pg.transaction(isolation="repeatable_read", readonly=True):
            seq = await pg.fetchval("SELECT seq FROM notify.inbox WHERE rep_id = $1", rep)
            count = await pg.fetchval(COUNT, rep, now)
            rows = await pg.fetch(
                f"SELECT {_COLUMNS} FROM notify.notice WHERE rep_id = $1 AND {OPEN} ORDER BY seq DESC LIMIT $3",
                rep,
                now,
                limit,
            )
        return [_listed(row, now) for row in rows], count, seq or 0

    async def past(self, rep: str, limit: int) -> list[Listed]:
        """Notices that need nothing any more, newest change first."""
        now = self._clock.now()
        query = f"SELECT {_COLUMNS} FROM notify.notice WHERE rep_id = $1 AND NOT ({OPEN}) ORDER BY seq DESC LIMIT $3"
        async with self._db.raw() as pg:
            return [_listed(row, now) for row in await pg.fetch(query, rep, now, limit)]

    async def since(self, rep: str, after: int, limit: int) -> list[Listed]:
        """What has changed behind `after`, in the order of the changes, open or not."""
        query = f"SELECT {_COLUMNS} FROM notify.notice WHERE rep_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"
        async with self._db.raw() as pg:
            now = self._clock.now()
            return [_listed(row, now) for row in await pg.fetch(query, rep, after, limit)]

    async def one(self, rep: str, notice_id: str) -> Listed | None:
        """One notice of this rep; None when the rep has no such notice."""
        query = f"SELECT {_COLUMNS} FROM notify.notice WHERE rep_id = $1 AND id = $2"
        async with self._db.raw() as pg:
            row = await pg.fetchrow(query, rep, notice_id)
        return _listed(row, self._clock.now()) if row is not None else None

    async def missed_seen(self, rep: str) -> int:
        """Mark everything the rep has missed as read; returns how many."""
        now = self._clock.now()
        query = f"""
            UPDATE notify.notice SET read_at = $2 WHERE rep_id = $1 AND {OPEN}
               AND (kind = 'you_missed' OR ({ALERT} AND fresh_until <= $2))
            RETURNING id"""
        async with self._db.raw() as pg:
            return len(await pg.fetch(query, rep, now))

    async def of_lead(self, lead_id: str) -> list[dict[str, Any]]:
        """Who was told of a lead, newest first: rep, kind, state, created_at, delivered_at."""
        return (await notices_of(self._db, lead_id))[::-1]

    async def said_of(self, rep: str, lead_id: str) -> ShownSay | None:
        """The newest ready message of this rep for a lead, their own words first; None when there is none."""
        query = """
            SELECT body::text FROM notify.notice WHERE rep_id = $1 AND body #>> '{lead,id}' = $2
               AND id IN (SELECT notice_id FROM notify.notice_lead WHERE lead_id = $2)
            ORDER BY coalesce(body #>> '{say,edited}', '') = 'true' DESC, seq DESC LIMIT 1"""
        async with self._db.raw() as pg:
            text = await pg.fetchval(query, rep, lead_id)
        return decode(text).say if text is not None else None

    async def used(self, rep: str, notice_id: str, how: Used) -> bool:
        """Count that the rep took the ready message; False when the rep has no such notice."""
        if await self.one(rep, notice_id) is None:
            return False
        SAID.labels(how).inc()
        return True

    async def edited(self, rep: str, notice_id: str, subject: str, body: str) -> Notice | None:
        """Keep the rep's own words with the notice, on every screen of theirs; None when the rep has no such notice.

        Args:
            subject, body: At most `SUBJECT_MAX` and `BODY_MAX` characters; what is longer is cut.
        """
        say = ShownSay(subject=_clean(subject)[:SUBJECT_MAX], body=_clean(body)[:BODY_MAX], edited=True)
        async with self._db.transaction() as pg:
            # The inbox row first, as the handler does: nothing else changes the rep's notices meanwhile.
            seq = await pg.fetchval("SELECT seq FROM notify.inbox WHERE rep_id = $1 FOR UPDATE", rep)
            text = await pg.fetchval(
                "SELECT body::text FROM notify.notice WHERE rep_id = $1 AND id = $2", rep, notice_id
            )
            if seq is None or text is None:
                return None
            notice = decode(text)
            if notice.say is not None and (notice.say.subject, notice.say.body) == (say.subject, say.body):
                return notice
            notice = msgspec.structs.replace(notice, say=say, seq=seq + 1)
            await _renumber(pg, notice)
        SAID.labels("edited").inc()
        return notice


async def _renumber(pg: Connection, notice: Notice) -> None:
    await pg.execute(
        "UPDATE notify.notice SET seq = $2, body = $3::json WHERE id = $1", notice.id, notice.seq, encode(notice)
    )
    await pg.execute("UPDATE notify.inbox SET seq = $2 WHERE rep_id = $1", notice.rep, notice.seq)
    await pg.execute("SELECT pg_notify($1, $2)", INBOX_CHANNEL, notice.rep)


def _clean(text: str) -> str:
    return "".join(c for c in text.replace("\r\n", "\n") if c in "\n\t" or c >= " ").strip()


def _listed(row: Any, now: datetime) -> Listed:
    notice = shown(decode(row["body"]), now, delivered=row["delivered_at"] is not None)
    return Listed(notice, notice.state in OPEN_STATES and row["read_at"] is None)
