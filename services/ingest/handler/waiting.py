"""Which events wait for their contact to be looked up? They wait in order, in PostgreSQL, and are never lost."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from schemas.codec import CloudEvent, Message, tracking_decoder
from schemas.messages import Tracking
from services.ingest.sources import hubspot
from services.runtime.clock import Clock
from services.runtime.db import Database

TURN_EVENTS: Final = 500
LEASE_S: Final = 30.0
KEEP: Final = """
INSERT INTO ingest.waiting (source_id, object_id, key, value, since, retry_at)
SELECT $1, u.object_id, u.key, u.value, $5, $5 FROM unnest($2::text[], $3::bytea[], $4::bytea[])
  WITH ORDINALITY AS u(object_id, key, value, n) ORDER BY u.n"""
# Of an object that is put off nothing is taken, so that its events stay in order; what has waited too long always is.
# Each source is read by itself: what waits of a paused one may be very much, and is not looked at. (`BETWEEN` and not
# `=`: else the planner takes the order from the primary key, and with it everybody's rows.) `since` rises with `seq` but
# for the clocks of several processes, so the first row tells whether anything can be too old.
NEXT: Final = """
WITH RECURSIVE source AS (
  (SELECT source_id FROM ingest.waiting ORDER BY source_id LIMIT 1)
  UNION ALL
  SELECT (SELECT w.source_id FROM ingest.waiting w WHERE w.source_id > s.source_id ORDER BY w.source_id LIMIT 1)
    FROM source s WHERE s.source_id IS NOT NULL
), later AS MATERIALIZED (
  SELECT DISTINCT source_id, object_id FROM ingest.waiting WHERE retry_at > $1
), due AS (
  (SELECT seq FROM ingest.waiting
    WHERE since < $2 AND (SELECT since FROM ingest.waiting ORDER BY seq LIMIT 1) < $2 ORDER BY seq LIMIT $4)
  UNION
  SELECT live.seq FROM source s CROSS JOIN LATERAL (
    SELECT w.seq FROM ingest.waiting w
     WHERE w.source_id BETWEEN s.source_id AND s.source_id
       AND NOT EXISTS (SELECT 1 FROM later l WHERE l.source_id = w.source_id AND l.object_id = w.object_id)
     ORDER BY w.source_id, w.seq LIMIT $4) live
   WHERE s.source_id <> ALL ($3::text[])
)
SELECT seq, source_id, object_id, key, value, since FROM ingest.waiting
 WHERE seq = ANY (ARRAY(SELECT seq FROM due ORDER BY seq LIMIT $4)) ORDER BY seq"""
PUT_OFF: Final = "UPDATE ingest.waiting SET retry_at = $3 WHERE source_id = $1 AND object_id = $2"
DONE: Final = "DELETE FROM ingest.waiting WHERE seq = ANY ($1::bigint[])"
LEASE: Final = """
INSERT INTO ingest.enricher AS e (one, owner, expires_at) VALUES (true, $1, clock_timestamp() + $2::interval)
ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
 WHERE e.owner = excluded.owner OR e.expires_at < clock_timestamp()
RETURNING owner"""
# Of somebody who asked to be forgotten nothing waits any longer, but for the request itself.
FORGET: Final = """
DELETE FROM ingest.waiting
 WHERE position($3::bytea IN value) = 0
   AND (lower(object_id) = ANY ($1::text[]) OR EXISTS (SELECT FROM unnest($2::bytea[]) AS t WHERE position(t IN value) > 0))"""
REQUEST: Final = b'"signal":"person.deleted"'
FORGOTTEN: Final = "ingest_forgotten"
NOTIFY: Final = f"NOTIFY {FORGOTTEN}"
RELEASE: Final = "DELETE FROM ingest.enricher WHERE owner = $1"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One event that waits. `dropped`: earlier ones that are to be forgotten with it."""

    seq: int
    source_id: str
    object_id: str
    message: Message
    event: CloudEvent[Tracking]
    since: datetime
    dropped: tuple[int, ...] = ()

    @property
    def all_seqs(self) -> tuple[int, ...]:
        """Its place, and those of what is dropped with it."""
        return (self.seq, *self.dropped)


def object_of(event: CloudEvent[Tracking]) -> str | None:
    """The contact that an event names by the platform's id; None when it names none."""
    return next((one.value for one in event.data.ids if one.kind == "crm" and hubspot.api_path(one.value)), None)


async def forget(pg: Any, names: Sequence[tuple[str, str]]) -> None:
    """Drop what waits of a person, in the caller's transaction, and tell who looks up to remember nobody.

    Args:
        names: (kind, value) of all identifiers of the person.
    """
    contacts = [value.lower() for kind, value in names if kind == "crm"]
    addresses = [msgspec.json.encode(value) for kind, value in names if kind == "email"]
    await pg.execute(FORGET, contacts, addresses, REQUEST)
    await pg.execute(NOTIFY)


class Waiting:
    """The table of events that wait."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def hold(self, source_id: str, messages: Sequence[Message]) -> list[Message]:
        """Keep those that are about a contact; the others come back."""
        held: list[tuple[str, Message]] = []
        others: list[Message] = []
        for message in messages:
            contact = object_of(tracking_decoder.decode(message.value or b""))
            if contact is None:
                others.append(message)
            else:
                held.append((contact, message))
        if held:
            keys, values = [m.key for _, m in held], [m.value for _, m in held]
            async with self._db.raw() as pg:
                await pg.execute(KEEP, source_id, [contact for contact, _ in held], keys, values, self._clock.now())
        return others

    async def next(self, topic: str, too_old: datetime, paused: Sequence[str]) -> list[Held]:
        """The next to be looked at, in order."""
        async with self._db.raw() as pg:
            rows = await pg.fetch(NEXT, self._clock.now(), too_old, list(paused), TURN_EVENTS)
        return [
            Held(
                seq=row["seq"],
                source_id=row["source_id"],
                object_id=row["object_id"],
                message=Message(topic=topic, key=row["key"], value=row["value"]),
                event=tracking_decoder.decode(row["value"]),
                since=row["since"],
            )
            for row in rows
        ]

    async def put_off(self, source_id: str, object_id: str, seconds: float) -> None:
        """Look at this contact's events again after a while."""
        async with self._db.raw() as pg:
            await pg.execute(PUT_OFF, source_id, object_id, self._clock.now() + timedelta(seconds=seconds))

    async def done(self, seqs: Sequence[int]) -> None:
        """These are in the log."""
        async with self._db.raw() as pg:
            await pg.execute(DONE, list(seqs))

    async def lease(self, owner: str) -> bool:
        """Whether this process is the one that looks up, for the next half minute."""
        async with self._db.raw() as pg:
            return await pg.fetchval(LEASE, owner, timedelta(seconds=LEASE_S)) is not None

    async def release(self, owner: str) -> None:
        """Let another process begin at once."""
        async with self._db.raw() as pg:
            await pg.execute(RELEASE, owner)
