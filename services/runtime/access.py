"""Who is calling, and may they? Tokens with a role, browser sessions made from them, one dependency for every API.

Owns: the PostgreSQL schema `access`. Only hashes of tokens are kept. A revocation is seen at once by every process (NOTIFY),
and within `CACHE_S` should the notification be lost.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from fastapi import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request
from starlette.responses import Response

from services.runtime.attempts import Attempts
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import BadMessage, Refused, Unavailable
from services.runtime.security import hash_token, new_token

Role = Literal["admin", "marketing", "ops", "rep"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

CHANNEL: Final = "access_changed"
CACHE_S: Final = 5.0
CACHE_MAX: Final = 10_000
SESSION_DAYS: Final = 7
TOKEN_MAX_CHARS: Final = 256
# Over https the prefix makes browsers insist on Secure, Path=/ and no Domain; plain http (a laptop) cannot have it.
COOKIE_HTTPS: Final = "__Host-session"
COOKIE_HTTP: Final = "lead_router_session"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Identity(msgspec.Struct, frozen=True):
    """Who is calling. `rep` is the rep's id when the role is `rep`, else None."""

    role: Role
    rep: str | None
    token_id: str
    name: str


class TokenInfo(msgspec.Struct, frozen=True):
    """What may be shown of a token: never the token."""

    id: str
    role: Role
    rep: str | None
    name: str
    created_at: datetime
    revoked_at: datetime | None


class SessionInfo(msgspec.Struct, frozen=True):
    """What may be shown of a browser session. `id` is the hash of the cookie's value: it opens nothing."""

    id: str
    token_id: str
    role: Role
    rep: str | None
    name: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class _Cached:
    identity: Identity | None
    until: float


class Access:
    """Tokens and sessions.

    Args:
        listener: Tells when tokens were revoked elsewhere; without one, revocation takes up to `CACHE_S` to be seen.
    """

    def __init__(self, db: Database, clock: Clock, listener: Listener | None = None) -> None:
        self._db = db
        self._clock = clock
        self._cache: OrderedDict[bytes, _Cached] = OrderedDict()
        self._generation = 0
        self._attempts = Attempts(clock)
        if listener is not None:
            listener.on(CHANNEL, self._forget)

    async def identify(self, token: str) -> Identity | None:
        """Who holds this token; None when nobody does (any more)."""
        return await self._cached(
            b"t", token, "SELECT role, rep, id, name FROM access.token WHERE hash = $1 AND revoked_at IS NULL"
        )

    async def sign_in(self, token: str, address: str) -> Identity | None:
        """Who holds this token, for somebody who signs in from `address`; None when nobody does.

        Raises:
            Unavailable: `too_many_requests`: too many wrong tokens of late.
        """
        wait = self._attempts.wait_s(address, token)
        if wait > 0:
            msg = f"too many wrong tokens of late; try again in {wait:.0f} seconds"
            raise Unavailable(msg, code="too_many_requests", retry_after_s=wait)
        found = await self.identify(token)
        if found is None:
            self._attempts.failed(address, token)
        return found

    async def identify_session(self, session: str) -> Identity | None:
        """Who holds this browser session; None when it has ended, or its token was revoked."""
        return await self._cached(
            b"s",
            session,
            """
            SELECT t.role, t.rep, t.id, t.name FROM access.session s JOIN access.token t ON t.id = s.token_id
            WHERE s.hash = $1 AND t.revoked_at IS NULL AND s.expires_at > $2
            """,
            self._clock.now(),
        )

    async def create(self, role: Role, rep: str | None = None, name: str = "") -> str:
        """A new token, shown this once.

        Raises:
            BadMessage: An unknown role, or a rep's token without a rep, or the other way round.
        """
        if role not in ROLES:
            msg = f"role {role!r} is unknown; one of {', '.join(ROLES)}"
            raise BadMessage(msg, code="bad_role")
        if (role == "rep") != bool(rep):
            msg = "a token of role rep names its rep (rep=anna); a token of another role names none"
            raise BadMessage(msg, code="bad_role")
        token = new_token(f"lr_{role}")
        async with self._db.raw() as pg:
            await pg.execute(
                "INSERT INTO access.token (hash, role, rep, name, created_at) VALUES ($1, $2, $3, $4, $5)",
                hash_token(token),
                role,
                rep or None,
                name or rep or role,
                self._clock.now(),
            )
        return token

    async def sessions(self, token_id: str | None = None, limit: int = 200) -> list[SessionInfo]:
        """Browser sessions that are open, newest first; with `token_id` those of one token."""
        query = """
            SELECT encode(s.hash, 'hex') AS id, t.id::text AS token_id, t.role, t.rep, t.name, s.created_at, s.expires_at
              FROM access.session s JOIN access.token t ON t.id = s.token_id
             WHERE t.revoked_at IS NULL AND s.expires_at > $1 AND ($2::uuid IS NULL OR t.id = $2)
             ORDER BY s.created_at DESC, s.hash LIMIT $3
        """
        async with self._db.raw() as pg:
            rows = await pg.fetch(query, self._clock.now(), UUID(token_id) if token_id else None, limit)
        return [SessionInfo(**dict(row)) for row in rows]

    async def end_session(self, session_id: str, token_id: str | None = None) -> bool:
        """End a browser session by its `SessionInfo.id`, everywhere, at once; with `token_id` only one of that token."""
        query = """
            DELETE FROM access.session
             WHERE encode(hash, 'hex') = $1 AND ($2::uuid IS NULL OR token_id = $2) RETURNING token_id
        """
        async with self._db.transaction() as pg:
            found = await pg.fetchval(query, session_id, UUID(token_id) if token_id else None)
            await pg.execute("SELECT pg_notify($1, '')", CHANNEL)
        self._forget("")
        return found is not None

    async def end_sessions(self, token_id: str) -> int:
        """End every browser session of a token, everywhere, at once; how many there were."""
        async with self._db.transaction() as pg:
            rows = await pg.fetch("DELETE FROM access.session WHERE token_id = $1 RETURNING hash", UUID(token_id))
            await pg.execute("SELECT pg_notify($1, '')", CHANNEL)
        self._forget("")
        return len(rows)

    async def list(self, limit: int = 1000, before: tuple[datetime, str] | None = None) -> list[TokenInfo]:
        """Tokens, newest first; `before` is (created_at, id) of the last one seen."""
        query = """
            SELECT id, role, rep, name, created_at, revoked_at FROM access.token
            WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1, $2)
            ORDER BY created_at DESC, id DESC LIMIT $3
        """
        at, last = before or (None, None)
        async with self._db.raw() as pg:
            rows = await pg.fetch(query, at, UUID(last) if last else None, limit)
        return [TokenInfo(**{**dict(row), "id": str(row["id"])}) for row in rows]

    async def revoke(self, token_id: str) -> bool:
        """End a token and its sessions, everywhere, at once. False when there is no such live token."""
        try:
            key = UUID(token_id)
        except ValueError:
            return False
        async with self._db.transaction() as pg:
            found = await pg.fetchval(
                "UPDATE access.token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id",
                key,
                self._clock.now(),
            )
            await pg.execute("DELETE FROM access.session WHERE token_id = $1", key)
            await pg.execute("SELECT pg_notify($1, '')", CHANNEL)
        self._forget("")
        return found is not None

    async def open_session(self, identity: Identity) -> tuple[str, datetime]:
        """A browser session for the holder of a token: the cookie's value, and when it ends."""
        session, now = new_token("lrs"), self._clock.now()
        ends = now + timedelta(days=SESSION_DAYS)
        async with self._db.transaction() as pg:
            await pg.execute("DELETE FROM access.session WHERE expires_at <= $1", now)
            await pg.execute(
                "INSERT INTO access.session (hash, token_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
                hash_token(session),
                UUID(identity.token_id),
                now,
                ends,
            )
        return session, ends

    async def close_session(self, session: str) -> None:
        """End a browser session."""
        async with self._db.transaction() as pg:
            await pg.execute("DELETE FROM access.session WHERE hash = $1", hash_token(session))
            await pg.execute("SELECT pg_notify($1, '')", CHANNEL)
        self._forget("")

    async def _cached(self, kind: bytes, secret: str, query: str, *more: object) -> Identity | None:
        if not secret or len(secret) > TOKEN_MAX_CHARS:
            return None
        hashed = hash_token(secret)
        key, now = kind + hashed, self._clock.monotonic()
        known = self._cache.get(key)
        if known is not None and known.until > now:
            return known.identity
        generation = self._generation
        async with self._db.raw() as pg:
            row = await pg.fetchrow(query, hashed, *more)
        identity = Identity(row["role"], row["rep"], str(row["id"]), row["name"]) if row else None
        # A revocation that came while we read: what we read may be older than it.
        if generation == self._generation:
            self._cache[key] = _Cached(identity, now + CACHE_S)
            self._cache.move_to_end(key)
            while len(self._cache) > CACHE_MAX:
                self._cache.popitem(last=False)
        return identity

    def _forget(self, _payload: str) -> None:
        self._generation += 1
        self._cache.clear()


def session_cookie(request: Request) -> str | None:
    """The session cookie of a request, by the name that fits its scheme."""
    return request.cookies.get(COOKIE_HTTPS) or (None if secure(request) else request.cookies.get(COOKIE_HTTP))


def set_session_cookie(answer: Response, request: Request, session: str) -> None:
    """Let the browser keep a session that was opened for it."""
    https = secure(request)
    answer.set_cookie(
        COOKIE_HTTPS if https else COOKIE_HTTP,
        session,
        max_age=SESSION_DAYS * 86_400,
        path="/",
        secure=https,
        httponly=True,
        samesite="lax",
    )


def delete_session_cookie(answer: Response, request: Request) -> None:
    """Let the browser forget its session."""
    https = secure(request)
    answer.delete_cookie(COOKIE_HTTPS if https else COOKIE_HTTP, path="/", secure=https, httponly=True, samesite="lax")


def secure(request: Request) -> bool:
    """Whether the browser reached us over https, itself or through a proxy."""
    public_url = getattr(request.app.state, "public_url", None)
    return request.url.scheme == "https" or str(public_url or "").startswith("https://")


def address_of(request: Request) -> str:
    """Where a request comes from: the connection's address, or what a trusted proxy says."""
    return request.client.host if request.client is not None else "unknown"


def same_origin(request: Request) -> bool | None:
    """Whether a browser says that our own page sent this; None when it says nothing (or is no browser)."""
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site in ("same-origin", "none")
    origin = request.headers.get("origin")
    if origin is None:
        return None
    ours = {request.headers.get("host", "").lower()}
    public_url = getattr(request.app.state, "public_url", None)
    if public_url:
        ours.add(urlsplit(public_url).netloc.lower())
    return urlsplit(origin).netloc.lower() in ours - {""}


async def admit(request: Request, *roles: Role) -> Identity:
    """Who is calling, if they hold one of `roles` (none named: anybody known). The role admin passes everywhere.

    Raises:
        Refused: `unauthorized` (401) or `forbidden` (403).
    """
    access: Access = request.app.state.access
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    identity: Identity | None = None
    if scheme.lower() == "bearer":
        identity = await access.identify(token.strip())
    elif session := session_cookie(request):
        identity = await access.identify_session(session)
        if identity is not None and request.method not in SAFE_METHODS and not same_origin(request):
            msg = "a page of another site sent this with your session; it was not done"
            raise Refused(msg, code="forbidden")
    if identity is None:
        msg = "say who you are: Authorization: Bearer <token> (lead-router token create --role …)"
        raise Refused(msg, code="unauthorized")
    if roles and identity.role != "admin" and identity.role not in roles:
        msg = f"this needs the role {' or '.join(roles)}; this token has {identity.role}"
        raise Refused(msg, code="forbidden")
    return identity


_bearer = HTTPBearer(auto_error=False, description="A token of `lead-router token create`")


def require(*roles: Role) -> Callable[..., Awaitable[Identity]]:
    """A FastAPI dependency: the caller's Identity, or 401, or 403. `identity: Identity = Depends(require("ops"))`."""

    async def caller(
        request: Request, _shown: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> Identity:
        return await admit(request, *roles)

    return caller
