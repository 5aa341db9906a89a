"""How we talk to PostgreSQL: one asyncpg pool for hot paths, one SQLAlchemy engine for API queries, one listener.

Both use the same URL. Library errors about a database that is away leave this file as `Unavailable`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import asyncpg
import sqlalchemy.exc
import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.runtime.errors import Misconfigured, Unavailable

log = structlog.get_logger(__name__)

# Errors after which the same call may succeed: the server is away, starting, stopping or out of connections.
AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncio.TimeoutError,
)
# So the driver says it when the server has ended a connection that did nothing, and the end of it has not come yet.
ENDED_UNASKED = "another operation (2) is in progress"
REFUSED = (
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.exceptions.ClientConfigurationError,
    ValueError,  # a part of the URL that asyncpg cannot read
)
CONNECT_TIMEOUT_S = 10.0
# A process frozen inside a transaction holds the lease row's lock: the server frees it after this long.
IDLE_IN_TRANSACTION_MS = 5000


def is_away(error: BaseException) -> bool:
    """Whether the same call may succeed later. A value that does not fit its parameter never will."""
    if isinstance(error, asyncpg.InternalClientError):
        return ENDED_UNASKED in str(error)
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg says `InterfaceError` both for a lost connection and for wrong use; wrong values are ValueErrors too.
        return not isinstance(error, ValueError) and any(word in str(error) for word in ("closed", "closing", "lost"))
    return isinstance(error, AWAY)


async def _as_it_is(_connection: object) -> None:
    """Nobody leaves settings, cursors or listeners on a pooled connection: no round trip to undo what was not done."""


class Database:
    """The one PostgreSQL. Opens lazily, closes once.

    Args:
        url: `postgresql://user:password@host:port/name`; query parameters (host for a socket folder) are kept.
        pool_size: Connections each of pool and engine may open, at least 2.
        statement_timeout_s: No statement runs longer, in seconds.
    """

    def __init__(
        self, url: str, *, pool_size: int = 10, statement_timeout_s: float = 30.0, name: str = "lead-router"
    ) -> None:
        try:
            parsed = make_url(url)
        except Exception as error:
            msg = "LEAD_ROUTER_DATABASE_URL is not a PostgreSQL URL; write it as postgresql://user:password@host:5432/name"
            raise Misconfigured(msg) from error
        if not parsed.drivername.startswith("postgres"):
            msg = f"LEAD_ROUTER_DATABASE_URL names {parsed.drivername}; only PostgreSQL is supported"
            raise Misconfigured(msg)
        self._url = parsed.set(drivername="postgresql")
        self._pool_size = pool_size
        self._server_settings = {
            "application_name": name,
            "statement_timeout": str(int(statement_timeout_s * 1000)),
            "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
            "lock_timeout": "10000",
            "timezone": "UTC",
        }
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._engine: AsyncEngine | None = None
        self._closed = False

    @property
    def dsn(self) -> str:
        """The URL for asyncpg and Alembic, password included: never log it."""
        return self._url.render_as_string(hide_password=False)

    @property
    def shown(self) -> str:
        """The URL with the password hidden, for people."""
        return self._url.render_as_string(hide_password=True)

    async def connect(self, **settings: str) -> asyncpg.Connection:
        """A connection of its own, outside the pool: for listeners, leases and hot loops. The caller closes it.

        Args:
            settings: Further server settings for this session (`plan_cache_mode="force_generic_plan"`).
        """
        try:
            return await asyncpg.connect(
                self.dsn, timeout=CONNECT_TIMEOUT_S, server_settings={**self._server_settings, **settings}
            )
        except REFUSED as error:
            raise self._refused(error) from error
        except AWAY as error:
            raise self._away(error) from error

    async def pool(self) -> asyncpg.Pool:
        """The asyncpg pool, opened at first use."""
        if self._pool is not None:
            return self._pool
        async with self._opening:
            if self._closed:
                # Work left behind at the end of a process must not open connections that nobody closes.
                raise Unavailable("the database is closed: this process ends", code="database_away")
            if self._pool is None:
                # While the server is away the pool's own upkeep says so with a traceback at every try; we say it once.
                logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)
                try:
                    self._pool = await asyncpg.create_pool(
                        self.dsn,
                        min_size=1,
                        max_size=self._pool_size,
                        timeout=CONNECT_TIMEOUT_S,
                        server_settings=self._server_settings,
                        reset=_as_it_is,
                    )
                except REFUSED as error:
                    raise self._refused(error) from error
                except AWAY as error:
                    raise self._away(error) from error
        return self._pool

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A pooled asyncpg connection, no transaction begun."""
        pool = await self.pool()
        try:
            async with pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except AWAY as error:
            if not is_away(error):
                raise
            raise self._away(error) from error

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A pooled asyncpg connection inside one transaction: commits at the end, rolls back on any error."""
        async with self.raw() as connection, connection.transaction():
            yield connection

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine, for Core queries of the APIs."""
        if self._engine is None:
            self._engine = create_async_engine(
                self._url.set(drivername="postgresql+asyncpg"),
                pool_size=self._pool_size,
                max_overflow=0,
                pool_pre_ping=True,
                connect_args={"server_settings": self._server_settings, "timeout": CONNECT_TIMEOUT_S},
            )
        return self._engine

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """An SQLAlchemy connection inside one transaction."""
        try:
            async with self.engine.begin() as connection:
                yield connection
        except sqlalchemy.exc.TimeoutError as error:
            raise self._away(error) from error
        except sqlalchemy.exc.DBAPIError as error:
            # SQLAlchemy's driver error stands between, asyncpg's own is its cause.
            cause = error.orig.__cause__ if error.orig is not None else None
            if error.connection_invalidated or (cause is not None and is_away(cause)):
                raise self._away(cause or error) from error
            raise
        except AWAY as error:
            if not is_away(error):
                raise
            raise self._away(error) from error

    def _away(self, error: BaseException) -> Unavailable:
        msg = f"PostgreSQL at {self.shown} does not answer: {str(error) or type(error).__name__}"
        return Unavailable(msg, code="database_away")

    def _refused(self, error: BaseException) -> Misconfigured:
        msg = f"PostgreSQL at {self.shown} refuses us: {error}; check LEAD_ROUTER_DATABASE_URL"
        return Misconfigured(msg)

    async def close(self) -> None:
        """Close pool and engine, for good; safe to call twice."""
        self._closed = True
        async with self._opening:  # a pool that is just being opened is closed too
            pool, self._pool = self._pool, None
        if pool is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(pool.close(), 5)
        if self._engine is not None:
            engine, self._engine = self._engine, None
            await engine.dispose()


class Listener:
    """LISTEN on some channels for ever; reconnects; calls back with (channel, payload).

    After a reconnect every callback is called once with an empty payload, since notifications may have been missed.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._callbacks: dict[str, list[Callable[[str], None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection | None = None

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call `callback(payload)` for each notification. Register before `start`."""
        self._callbacks.setdefault(channel, []).append(callback)

    async def start(self) -> None:
        """Begin to listen in the background."""
        self._task = asyncio.create_task(self._run(), name="listener")

    async def stop(self) -> None:
        """Stop and close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(Unavailable, *AWAY):
                await self._listen()
            await asyncio.sleep(0.5)

    async def _listen(self) -> None:
        connection = await self._db.connect()
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            for channel in self._callbacks:
                await connection.add_listener(channel, self._called)
            for callbacks in self._callbacks.values():
                for callback in callbacks:
                    callback("")
            await lost.wait()
        finally:
            with contextlib.suppress(Exception):  # the connection is lost or closing anyway
                await asyncio.wait_for(connection.close(), 2)

    def _called(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback(str(payload))


async def retrying(call: Callable[[], Awaitable[None]], *, seconds: float, wait_s: float = 0.5) -> None:
    """Call until it does not raise `Unavailable`, for at most `seconds`; then let the error through."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await call()
        except Unavailable:
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(wait_s)


def socket_url(folder: str, port: int, user: str, name: str) -> str:
    """A URL for a server that listens in a socket folder only."""
    return f"postgresql://{quote(user)}@/{quote(name)}?host={quote(folder, safe='')}&port={port}"
