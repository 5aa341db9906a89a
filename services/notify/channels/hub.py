"""Open streams by key, woken by NOTIFY: one query for all that are due, however many notifications came.

Every replica listens and reads what lies behind its own streams' cursors, so it does not matter who wrote a notice and
who holds the stream.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Final

import asyncpg
import structlog

from services.notify.channels.subscription import Ended, Subscription
from services.runtime.db import Listener
from services.runtime.errors import Unavailable
from services.runtime.watched import watched

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.25


class Hub(ABC):
    """Streams of one channel in this process.

    Args:
        name: For logs and tasks.
        channel: The PostgreSQL notification channel; its payload is a key, empty after a reconnect: all keys.
        on_fatal: Called when pushing has ended by a bug: end the process, or its streams stay silent.
    """

    def __init__(
        self, name: str, listener: Listener, channel: str, on_fatal: Callable[[Exception], None] | None = None
    ) -> None:
        self.name = name
        self._on_fatal = on_fatal
        self.subscribed: dict[str, set[Subscription]] = {}
        self.due: set[str] = set()
        self._echoes: dict[str, int] = {}  # key to notifications to come of our own commits
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping: asyncio.Event | None = None
        self._watch: asyncio.Task[None] | None = None
        listener.on(channel, self._heard)

    @abstractmethod
    async def deliver(self, keys: Collection[str]) -> Collection[str]:
        """Read what is new for these keys and push it; returns the keys that have more."""

    def expect(self, keys: Iterable[str]) -> None:
        """One notification for each key is about to come of what we commit ourselves: it tells us nothing."""
        for key in keys:
            self._echoes[key] = self._echoes.get(key, 0) + 1

    def unsure(self, keys: Iterable[str]) -> None:
        """The commit has failed, or so it seems: whatever comes counts, and what came meanwhile is looked for."""
        for key in keys:
            self._echo(key)
            self.poke(key)

    def _echo(self, key: str) -> bool:
        """Whether a notification for `key` was expected; it is not any more."""
        left = self._echoes.pop(key, 0)
        if left > 1:
            self._echoes[key] = left - 1
        return left > 0

    def _heard(self, key: str) -> None:
        if not key:
            self._echoes.clear()  # a new connection: some may have been lost with the old one
        elif self._echo(key):
            return
        self.poke(key)

    def poke(self, key: str) -> None:
        """Something may be new for `key`; empty: for everybody."""
        due: Iterable[str] = (key,) if key else tuple(self.subscribed)
        for one in due:
            if one in self.subscribed:
                self.due.add(one)
        if self.due:
            self._wake.set()

    def add(self, sub: Subscription) -> None:
        """Keep an open stream."""
        self.subscribed.setdefault(sub.key, set()).add(sub)

    def remove(self, sub: Subscription) -> None:
        """Forget a stream."""
        sub.end("gone")
        there = self.subscribed.get(sub.key)
        if there is not None:
            there.discard(sub)
            if not there:
                del self.subscribed[sub.key]

    def go_live(self, sub: Subscription) -> None:
        """From now on push; and look once more, for what came while the past was replayed."""
        sub.live = True
        self.poke(sub.key)

    def live(self, key: str) -> list[Subscription]:
        """Streams of `key` that take frames."""
        return [s for s in self.subscribed.get(key, ()) if s.live and s.ended is None]

    @property
    def open_streams(self) -> int:
        """How many streams are open here."""
        return sum(len(subs) for subs in self.subscribed.values())

    def end_with(self, stopping: asyncio.Event | None) -> None:
        """End all streams when the server begins to stop: it waits for them."""
        if stopping is None or self._stopping is stopping:
            return
        if self._watch is not None:
            self._watch.cancel()
        self._stopping = stopping
        self._watch = asyncio.create_task(self._end_when(stopping), name=f"{self.name} stop watch")

    async def start(self) -> None:
        """Begin to push."""
        self._task = watched(self._run(), f"{self.name} hub", self._on_fatal)

    async def stop(self) -> None:
        """End every stream, then the hub."""
        self.end_all("stopping")
        tasks = [task for task in (self._task, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        # One that has ended by a bug must not keep the others from ending.
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = self._watch = self._stopping = None

    def ready(self) -> str | None:
        """None while the hub pushes, else what is wrong."""
        return None if self._task is not None and not self._task.done() else f"the {self.name} hub does not run"

    def end_all(self, why: Ended) -> None:
        """End every open stream; their connections close by themselves."""
        for subs in list(self.subscribed.values()):
            for sub in list(subs):
                sub.end(why)

    async def _end_when(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self.end_all("stopping")

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            keys, self.due = self.due, set()
            try:
                more = await self.deliver([k for k in keys if k in self.subscribed])
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("streams wait for the database", hub=self.name, error=str(error))
                await asyncio.sleep(RETRY_S)
                more = keys
            for key in more:
                self.poke(key)
