"""How does a reader of the PostgreSQL log hear that there is something new? At once, wherever it runs.

Readers in this process are woken directly, those of others by NOTIFY: only when there are others, at most 100 a second
from here, and outside of the transactions that append, since NOTIFY makes commits wait for each other. A lost one costs a
poll interval.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable
from typing import Final

import asyncpg

from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable

CHANNEL: Final = "log"
NOTIFY_EVERY_S: Final = 0.01
# Another process that begins to read is noticed within this time; until then it polls.
LOOK_EVERY_S: Final = 2.0
OTHERS: Final = "SELECT DISTINCT topic FROM log.member WHERE owner <> $1 AND expires_at > clock_timestamp()"
NOTIFY: Final = "SELECT pg_notify($1, $2 || t) FROM unnest($3::text[]) AS t"


class Wakes:
    """Who waits for which topic.

    Args:
        listener: Must not be started yet: it learns our channel here.
        owner: This process, as its leases name it.
    """

    def __init__(self, db: Database, listener: Listener, owner: str) -> None:
        self._db = db
        self._owner = owner
        self._others: frozenset[str] = frozenset()  # topics that other processes read
        self._looked_at = float("-inf")
        self._me = secrets.token_hex(4) + "/"
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._to_tell: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        listener.on(CHANNEL, self._heard)

    def watch(self, topic: str) -> asyncio.Event:
        """An event that is set whenever `topic` may hold something new."""
        event = asyncio.Event()
        self._waiting.setdefault(topic, []).append(event)
        return event

    def forget(self, topic: str, event: asyncio.Event) -> None:
        """Nobody waits for this event any more."""
        with contextlib.suppress(ValueError):
            self._waiting.get(topic, []).remove(event)

    def touch(self, topics: Iterable[str]) -> None:
        """Something new was committed to `topics`. Never waits."""
        for topic in set(topics):
            self._to_tell.add(topic)
            self._wake(topic)
        if self._to_tell and (self._task is None or self._task.done()) and not self._closed:
            self._task = asyncio.create_task(self._tell(), name="log notify")

    async def close(self) -> None:
        """Stop telling."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wake(self, topic: str) -> None:
        for event in self._waiting.get(topic, ()):
            event.set()

    def _heard(self, payload: str) -> None:
        if not payload:  # the listener has connected anew: anything may have happened
            for topic in self._waiting:
                self._wake(topic)
        elif not payload.startswith(self._me):
            self._wake(payload.partition("/")[2])

    async def _tell(self) -> None:
        while self._to_tell:
            topics, self._to_tell = list(self._to_tell), set()
            # Best effort: readers poll in any case.
            with contextlib.suppress(Unavailable, asyncpg.PostgresError):
                heard = (await self._read_elsewhere()).intersection(topics)
                if heard:
                    async with self._db.raw() as pg:
                        await pg.execute(NOTIFY, CHANNEL, self._me, sorted(heard))
            await asyncio.sleep(NOTIFY_EVERY_S)

    async def _read_elsewhere(self) -> frozenset[str]:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            async with self._db.raw() as pg:
                self._others = frozenset(row["topic"] for row in await pg.fetch(OTHERS, self._owner))
        return self._others
