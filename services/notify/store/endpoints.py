"""Where may deliveries go? The configured endpoints, their sealed secrets, and how each is doing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from services.runtime.db import Database
from services.runtime.errors import Refused
from services.runtime.secretbox import SecretBox

CHANNEL: Final = "notify_endpoint"
# So many are served.
ENDPOINTS_MAX: Final = 200

COLUMNS: Final = (
    "id, name, kind, feed, options::text AS options, kinds, reps, segments, concurrency, per_s, version, enabled, "
    "disabled_reason, disabled_at, created_at, rotated_at, failures, failing_since, pause_until, last_ok_at, "
    "last_error, last_error_at"
)
INSERT = """
INSERT INTO notify.endpoint (id, name, kind, feed, options, secret, kinds, reps, segments, concurrency, per_s, created_at)
VALUES ($1, $2, $3, $4, $5::json, $6, $7::text[], $8::text[], $9::text[], $10, $11, $12)"""
# Up to 200 endpoints are listed with their queue; each costs one look at an index.
LIST = f"""
SELECT {COLUMNS},
       (SELECT count(*) FROM notify.delivery d WHERE d.endpoint = e.id AND d.state = 'due') AS due,
       (SELECT min(d.due_at) FROM notify.delivery d WHERE d.endpoint = e.id AND d.state = 'due') AS oldest_due,
       (SELECT count(*) FROM notify.delivery d WHERE d.endpoint = e.id AND d.state = 'held') AS held
  FROM notify.endpoint e
 WHERE ($1::text IS NULL OR id = $1 OR name = $1) ORDER BY created_at DESC, id DESC LIMIT $2"""
ROTATE = """
UPDATE notify.endpoint SET secret = $2, secret_before = $3, rotated_at = $4, version = version + 1, failures = 0,
       pause_until = NULL WHERE id = $1 RETURNING id"""
CHANGE = """
UPDATE notify.endpoint SET name = $3, feed = $4, options = $5::json, kinds = $6::text[], reps = $7::text[],
       segments = $8::text[], concurrency = $9, per_s = $10, secret = coalesce($11, secret),
       secret_before = CASE WHEN $11::bytea IS NULL THEN secret_before END,
       version = version + 1, failures = 0, failing_since = NULL, pause_until = NULL
 WHERE id = $1 AND version = $2 RETURNING id"""
ENABLE = """
UPDATE notify.endpoint SET enabled = $2, disabled_reason = $3, disabled_at = CASE WHEN $2 THEN NULL ELSE $4::timestamptz END,
       failures = 0, failing_since = NULL, pause_until = NULL, version = version + 1
 WHERE id = $1 RETURNING id"""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it may be shown: never its secrets."""

    id: str
    name: str
    kind: str
    feed: bool
    options: dict[str, str]
    kinds: list[str]
    reps: list[str]
    segments: list[str]
    concurrency: int
    per_s: float
    version: int
    enabled: bool
    disabled_reason: str | None
    disabled_at: datetime | None
    created_at: datetime
    rotated_at: datetime | None
    failures: int
    failing_since: datetime | None
    pause_until: datetime | None
    last_ok_at: datetime | None
    last_error: str | None
    last_error_at: datetime | None
    due: int = 0
    oldest_due: datetime | None = None
    held: int = 0


class EndpointStore:
    """Reads and writes of endpoints. Every write wakes every process."""

    def __init__(self, db: Database, box: SecretBox) -> None:
        self._db = db
        self._box = box

    async def list(self, named: str | None = None, limit: int = ENDPOINTS_MAX) -> Sequence[Stored]:
        """Endpoints, newest first, or the one with this id or name."""
        async with self._db.raw() as pg:
            return [_stored(row) for row in await pg.fetch(LIST, named, limit)]

    async def add(self, one: Stored, secrets: Mapping[str, str]) -> None:
        """Keep a new endpoint.

        Raises:
            Refused: `name_taken`.
        """
        async with self._db.transaction() as pg:
            try:
                await pg.execute(
                    INSERT,
                    one.id,
                    one.name,
                    one.kind,
                    one.feed,
                    msgspec.json.encode(one.options).decode(),
                    self._sealed(one.id, secrets),
                    one.kinds,
                    one.reps,
                    one.segments,
                    one.concurrency,
                    one.per_s,
                    one.created_at,
                )
            except asyncpg.UniqueViolationError as error:
                raise _name_taken(one.name) from error
            await _tell(pg)

    async def secrets(self, endpoint_id: str) -> tuple[dict[str, str], dict[str, str]]:
        """The secrets now, and those before the last rotation (empty: none), in the clear: for channels alone."""
        async with self._db.raw() as pg:
            row = await pg.fetchrow("SELECT secret, secret_before FROM notify.endpoint WHERE id = $1", endpoint_id)
        if row is None:
            return {}, {}
        return self._opened(endpoint_id, row["secret"]), self._opened(endpoint_id, row["secret_before"])

    async def rotate(
        self, endpoint_id: str, secrets: Mapping[str, str], before: Mapping[str, str] | None, now: datetime
    ) -> bool:
        """New secrets; `before` go on holding until the next rotation (None: they end at once)."""
        async with self._db.transaction() as pg:
            old = None if before is None else self._sealed(endpoint_id, before)
            found = await pg.fetchval(ROTATE, endpoint_id, self._sealed(endpoint_id, secrets), old, now)
            await _tell(pg)
        return found is not None

    async def change(self, one: Stored, secrets: Mapping[str, str] | None) -> bool:
        """Write a changed endpoint; False when it is not any more what was read.

        Args:
            secrets: All of them, when some are new: those before end at once. None: they stay.

        Raises:
            Refused: `name_taken`.
        """
        sealed = self._sealed(one.id, secrets) if secrets is not None else None
        options = msgspec.json.encode(one.options).decode()
        lists = (one.kinds, one.reps, one.segments)
        async with self._db.transaction() as pg:
            try:
                found = await pg.fetchval(
                    CHANGE, one.id, one.version, one.name, one.feed, options, *lists, one.concurrency, one.per_s, sealed
                )
            except asyncpg.UniqueViolationError as error:
                raise _name_taken(one.name) from error
            await _tell(pg)
        return found is not None

    async def enable(self, endpoint_id: str, *, on: bool, reason: str, now: datetime) -> bool:
        """Take it into use (what waits goes out), or out of it (what waits stays)."""
        async with self._db.transaction() as pg:
            found = await pg.fetchval(ENABLE, endpoint_id, on, None if on else reason, now)
            await _tell(pg)
        return found is not None

    async def delete(self, endpoint_id: str) -> bool:
        """Forget an endpoint and what waits for it."""
        async with self._db.transaction() as pg:
            found = await pg.fetchval("DELETE FROM notify.endpoint WHERE id = $1 RETURNING id", endpoint_id)
            await pg.execute(
                "DELETE FROM notify.delivery WHERE endpoint = $1 AND state IN ('due', 'held')", endpoint_id
            )
            await _tell(pg)
        return found is not None

    def _sealed(self, endpoint_id: str, secrets: Mapping[str, str]) -> bytes:
        return self._box.seal(msgspec.json.encode(secrets).decode(), f"endpoint:{endpoint_id}")

    def _opened(self, endpoint_id: str, sealed: bytes | None) -> dict[str, str]:
        if sealed is None:
            return {}
        return msgspec.json.decode(self._box.open(sealed, f"endpoint:{endpoint_id}"), type=dict[str, str])


def _name_taken(name: str) -> Refused:
    return Refused(f"there is a channel {name!r} already", code="name_taken")


def _stored(row: Mapping[str, Any]) -> Stored:
    return msgspec.convert({**row, "options": msgspec.json.decode(row["options"])}, Stored)


async def _tell(pg: asyncpg.pool.PoolConnectionProxy) -> None:
    await pg.execute("SELECT pg_notify($1, '')", CHANNEL)
