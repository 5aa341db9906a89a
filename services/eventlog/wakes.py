"""How does a reader of the PostgreSQL log hear that there is something new? At once, wherever it runs.

Readers in this process get the records themselves, as soon as they are committed: nothing has to be asked for. Those of
others are woken by NOTIFY: only when there are others, at most 100 a second from here, and outside of the transactions
that append, since NOTIFY makes commits wait for each other. A lost one costs a poll interval.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import asyncpg

from services.eventlog.ports import Record
from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable

CHANNEL: Final = "log"
NOTIFY_EVERY_S: Final = 0.01
# Another process that begins to read is noticed within this time; until then it polls.
LOOK_EVERY_S: Final = 2.0
OTHERS: Final = "SELECT DISTINCT topic FROM log.member WHERE owner <> $1 AND expires_at > clock_timestamp()"
NOTIFY: Final = "SELECT pg_notify($1, $2 || t) FROM unnest($3::text[]) AS t"


class Waiting(Protocol):
    """A reader, as it is told of news."""

    def look(self) -> None:
        """There may be something new in the log."""
        ...

    def offer(self, records: Sequence[Record]) -> None:
        """These are committed, in the order of their offsets within a partition; others may be, too."""
        ...


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
        self._waiting: dict[str, list[Waiting]] = {}
        self._to_tell: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        listener.on(CHANNEL, self._heard)

    def watch(self, topic: str, reader: Waiting) -> None:
        """Tell `reader` whenever `topic` may hold something new."""
        self._waiting.setdefault(topic, []).append(reader)

    def watched(self, topic: str) -> bool:
        """Whether anybody in this process reads `topic`."""
        return bool(self._waiting.get(topic))

    def forget(self, topic: str, reader: Waiting) -> None:
        """It waits no more."""
        with contextlib.suppress(ValueError):
            self._waiting.get(topic, []).remove(reader)

    def placed(self, records: Mapping[str, Sequence[Record]]) -> None:
        """These records were committed, by topic. Never waits."""
        for topic, new in records.items():
            for reader in self._waiting.get(topic, ()):
                reader.offer(new)
            self._to_tell.add(topic)
        self._begin_to_tell()

    async def close(self) -> None:
        """Stop telling."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _wake(self, topic: str) -> None:
        for reader in self._waiting.get(topic, ()):
            reader.look()

    def _heard(self, payload: str) -> None:
        if not payload:  # the listener has connected anew: anything may have happened
            for topic in self._waiting:
                self._wake(topic)
        elif not payload.startswith(self._me):
            self._wake(payload.partition("/")[2])

    def _begin_to_tell(self) -> None:
        if self._closed or not (self._task is None or self._task.done()):
            return
        # With nobody else there is nobody to tell: that is known for a while.
        fresh = asyncio.get_running_loop().time() - self._looked_at < LOOK_EVERY_S
        if fresh and self._others.isdisjoint(self._to_tell):
            self._to_tell.clear()
        elif self._to_tell:
            self._task = asyncio.create_task(self._tell(), name="log notify")

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
