"""Which sources may send, with which keys? The table, and a copy of it in every process.

Owns: the PostgreSQL schema `ingest`. Write keys are kept as SHA-256, signing secrets sealed by the secret box.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from typing_extensions import override

from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import LeadRouterError, Refused, Unavailable
from services.runtime.secretbox import SecretBox
from services.runtime.security import hash_token

log = structlog.get_logger(__name__)

CHANNEL: Final = "ingest_source"
# A key that nobody knows makes us look at the table again, but no oftener than this.
MISS_RELOAD_S: Final = 1.0
# Should a notification be lost, a change is seen after this long.
RELOAD_S: Final = 30.0
FLUSH_S: Final = 10.0
RECENT_MAX: Final = 10
KEY_MAX_CHARS: Final = 256
_COLUMNS: Final = "id, name, platform, key_hash, old_key_hash, secret, old_secret, publishable, disabled, api_token"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One source as requests meet it. `secrets` are open, newest first; never log it.

    Attributes:
        api_token: With it contacts are looked up at the platform; None: they are not.
    """

    id: str
    name: str
    platform: str
    publishable: bool
    disabled: bool
    secrets: tuple[str, ...]
    api_token: str | None = None

    @override
    def __repr__(self) -> str:
        """Without secrets: whoever prints it by mistake prints none."""
        return f"Source({self.id!r})"


class Recent(msgspec.Struct, frozen=True):
    """One of a source's last events: no more than what it was and when it came."""

    signal: str
    at: datetime


class NewSource(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown once: the key (and secret, when one was made or given) of a new or rotated source."""

    id: str
    name: str
    platform: str
    write_key: str
    secret: str | None
    publishable: bool

    @override
    def __repr__(self) -> str:
        """Without key and secret."""
        return f"NewSource({self.id!r})"


def _context(source_id: str) -> str:
    return f"source:{source_id}"


def _token_context(source_id: str) -> str:
    return f"source-api:{source_id}"


class SourceStore:
    """Writes to the table of sources."""

    def __init__(self, db: Database, box: SecretBox, clock: Clock) -> None:
        self._db = db
        self._box = box
        self._clock = clock

    async def create(self, made: NewSource) -> None:
        """Keep a new source.

        Raises:
            Refused: `name_taken`, `key_taken`.
        """
        sealed = self._box.seal(made.secret, _context(made.id)) if made.secret else None
        query = """
            INSERT INTO ingest.source (id, name, platform, key_hash, secret, publishable, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
        """
        hashed, now = hash_token(made.write_key), self._clock.now()
        try:
            async with self._db.raw() as pg:
                await pg.execute(query, made.id, made.name, made.platform, hashed, sealed, made.publishable, now)
        except asyncpg.UniqueViolationError as error:
            taken = "name" if "name" in str(error.constraint_name) else "key"
            msg = f"another source has this {taken}; choose another, or rotate that source"
            raise Refused(msg, code=f"{taken}_taken") from error

    async def named(self, name: str) -> str | None:
        """The id of the source with that name."""
        async with self._db.raw() as pg:
            found: str | None = await pg.fetchval("SELECT id FROM ingest.source WHERE name = $1", name)
        return found

    async def about(self, ref: str) -> Mapping[str, Any] | None:
        """What may be shown of the source with that id or name; the id wins."""
        query = """
            SELECT id, name, platform, publishable, disabled, secret IS NOT NULL AS signed,
              api_token IS NOT NULL AS looks_up, created_at, rotated_at, seen_at, accepted, rejected, recent,
              (SELECT count(*) FROM ingest.waiting w WHERE w.source_id = s.id) AS waiting
            FROM ingest.source s WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1
        """
        async with self._db.raw() as pg:
            row = await pg.fetchrow(query, ref)
        if row is None:
            return None
        found = dict(row)
        if isinstance(found["recent"], str | bytes):
            found["recent"] = msgspec.json.decode(found["recent"])
        return found

    async def rotate(self, source_id: str, write_key: str, secret: str | None) -> bool:
        """Give a source another key (and secret); the ones before go on working until the next rotation.

        False when there is no such source.
        """
        sealed = self._box.seal(secret, _context(source_id)) if secret else None
        query = """
            UPDATE ingest.source SET key_hash = $2, old_key_hash = key_hash, rotated_at = $4,
              secret = coalesce($3, secret), old_secret = CASE WHEN $3::bytea IS NULL THEN old_secret ELSE secret END
            WHERE id = $1 RETURNING id
        """
        async with self._db.raw() as pg:
            return await pg.fetchval(query, source_id, hash_token(write_key), sealed, self._clock.now()) is not None

    async def disable(self, source_id: str, *, disabled: bool = True) -> bool:
        """Refuse (or take again) what the source sends. False when there is no such source."""
        async with self._db.raw() as pg:
            query = "UPDATE ingest.source SET disabled = $2 WHERE id = $1 RETURNING id"
            return await pg.fetchval(query, source_id, disabled) is not None

    async def set_api_token(self, source_id: str, token: str | None) -> bool:
        """With which token the platform is asked about contacts; None: not any more. False when there is no source."""
        sealed = self._box.seal(token, _token_context(source_id)) if token else None
        async with self._db.raw() as pg:
            query = "UPDATE ingest.source SET api_token = $2 WHERE id = $1 RETURNING id"
            return await pg.fetchval(query, source_id, sealed) is not None

    async def delete(self, source_id: str) -> bool:
        """Forget a source; its events stay. False when there is no such source."""
        async with self._db.raw() as pg:
            return await pg.fetchval("DELETE FROM ingest.source WHERE id = $1 RETURNING id", source_id) is not None

    async def load(self) -> list[asyncpg.Record]:
        """Every source, for the cache."""
        async with self._db.raw() as pg:
            rows: list[asyncpg.Record] = await pg.fetch(f"SELECT {_COLUMNS} FROM ingest.source")
        return rows

    async def count(
        self,
        accepted: Counter[str],
        rejected: Counter[str],
        seen_at: datetime,
        recent: Mapping[str, Sequence[Recent]] | None = None,
    ) -> None:
        """Add to the counters of sources, all in one statement; `recent` are their newest events, newest first."""
        ids = sorted({*accepted, *rejected})
        query = """
            UPDATE ingest.source s SET seen_at = greatest(s.seen_at, $4), accepted = s.accepted + u.good,
              rejected = s.rejected + u.bad,
              recent = jsonb_path_query_array(u.recent::jsonb || s.recent, '$[0 to 9]')
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $5::text[]) AS u(id, good, bad, recent) WHERE s.id = u.id
        """
        newest = [msgspec.json.encode((recent or {}).get(i, ())).decode() for i in ids]
        async with self._db.raw() as pg:
            await pg.execute(query, ids, [accepted[i] for i in ids], [rejected[i] for i in ids], seen_at, newest)


class SourceCache:
    """All sources in memory, by key and by id; kept fresh by NOTIFY, usable while the database is away."""

    def __init__(self, store: SourceStore, box: SecretBox, clock: Clock, listener: Listener | None = None) -> None:
        self._store = store
        self._box = box
        self._clock = clock
        self._by_key: dict[bytes, Source] = {}
        self._by_id: dict[str, Source] = {}
        self._loaded_at: float | None = None
        self._changed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._accepted: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._recent: dict[str, deque[Recent]] = {}
        if listener is not None:
            listener.on(CHANNEL, lambda _: self._changed.set())

    async def start(self) -> None:
        """Load the sources and keep them fresh."""
        await self.refresh()
        self._task = asyncio.create_task(self._run(), name="ingest sources")

    async def stop(self) -> None:
        """Stop, and write what was counted."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._flush()

    @property
    def loaded(self) -> bool:
        """Whether the sources were read at least once."""
        return self._loaded_at is not None

    async def by_key(self, key: str) -> Source | None:
        """The source of a write key; None when nobody has it."""
        if not key or len(key) > KEY_MAX_CHARS:
            return None
        await self._not_stale()
        hashed = hash_token(key)
        found = self._by_key.get(hashed)
        if found is None and await self._refresh_after_miss():
            found = self._by_key.get(hashed)
        return found

    async def by_id(self, source_id: str) -> Source | None:
        """The source of that id; None when there is none."""
        await self._not_stale()
        found = self._by_id.get(source_id)
        if found is None and await self._refresh_after_miss():
            found = self._by_id.get(source_id)
        return found

    def looked_up(self) -> list[Source]:
        """Sources whose contacts are looked up at the platform."""
        return [source for source in self._by_id.values() if source.api_token is not None]

    def signing(self, platform: str) -> list[Source]:
        """Sources of a platform that have a secret."""
        return [source for source in self._by_id.values() if source.platform == platform and source.secrets]

    def count(self, source_id: str, accepted: int, rejected: int, signals: Iterable[str] = ()) -> None:
        """Remember what a source sent, to be written later."""
        self._accepted[source_id] += accepted
        self._rejected[source_id] += rejected
        newest = self._recent.get(source_id)
        if newest is None:
            newest = self._recent[source_id] = deque(maxlen=RECENT_MAX)
        now = self._clock.now()
        newest.extendleft([Recent(signal, now) for signal in signals])

    async def refresh(self) -> None:
        """Read the table again.

        Raises:
            Unavailable: The database is away; what was known stays.
        """
        async with self._lock:
            rows = await self._store.load()
            by_key: dict[bytes, Source] = {}
            by_id: dict[str, Source] = {}
            for row in rows:
                source = self._made(row)
                by_id[source.id] = source
                for hashed in (row["old_key_hash"], row["key_hash"]):
                    if hashed is not None:
                        by_key[bytes(hashed)] = source
            self._by_key, self._by_id = by_key, by_id
            self._loaded_at = self._clock.monotonic()

    def _made(self, row: asyncpg.Record) -> Source:
        sealed = [bytes(row[name]) for name in ("secret", "old_secret") if row[name] is not None]
        token = row["api_token"]
        return Source(
            id=row["id"],
            name=row["name"],
            platform=row["platform"],
            publishable=row["publishable"],
            disabled=row["disabled"],
            secrets=tuple(self._box.open(one, _context(row["id"])) for one in sealed),
            api_token=self._box.open(bytes(token), _token_context(row["id"])) if token is not None else None,
        )

    async def _not_stale(self) -> None:
        """In a process that only asks and was never started, look at the table now and then."""
        if self._task is None and self._loaded_at is not None and self._clock.monotonic() - self._loaded_at > RELOAD_S:
            with contextlib.suppress(Unavailable):
                await self.refresh()

    async def _refresh_after_miss(self) -> bool:
        """Look again, since a new source may not have been told yet; seldom, since strangers may try keys."""
        at = self._loaded_at
        if at is not None and self._clock.monotonic() - at < MISS_RELOAD_S and not self._changed.is_set():
            return False
        self._changed.clear()
        try:
            await self.refresh()
        except Unavailable:
            if at is None:
                raise
            return False
        return True

    async def _run(self) -> None:
        last_flush = self._clock.monotonic()
        while True:
            try:
                async with asyncio.timeout(FLUSH_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            try:
                age = self._clock.monotonic() - (self._loaded_at or 0.0)
                if self._changed.is_set() or age > RELOAD_S:
                    self._changed.clear()
                    await self.refresh()
                if self._clock.monotonic() - last_flush >= FLUSH_S:
                    last_flush = self._clock.monotonic()
                    await self._flush()
            except LeadRouterError as error:
                # What was known stays in use: an unreadable secret of one source must not stop the others.
                log.warning("sources not refreshed", reason=error.code, words=error.message)
                await asyncio.sleep(MISS_RELOAD_S)

    async def _flush(self) -> None:
        accepted, rejected = self._accepted, self._rejected
        if not accepted and not rejected:
            return
        self._accepted, self._rejected = Counter(), Counter()
        recent, self._recent = self._recent, {}
        try:
            await self._store.count(accepted, rejected, self._clock.now(), {i: tuple(q) for i, q in recent.items()})
        except Unavailable:
            self._accepted.update(accepted)
            self._rejected.update(rejected)
