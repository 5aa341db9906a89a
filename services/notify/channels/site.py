"""The site channel: greetings to the browsers of visitors, in the name of the account's owner."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final

import msgspec
from typing_extensions import override

from services.notify.channels.hub import Hub
from services.notify.channels.inbox import STREAMS
from services.notify.channels.subscription import Subscription
from services.notify.core.attempt import Result
from services.notify.core.greeting import visitor_key
from services.notify.store import notices as store
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable

# One site with 2,000 visitors at the same moment is a large one; a key in a script is public, so it must not take all.
STREAMS_PER_KEY: Final = 2000
STREAMS_PER_VISITOR: Final = 6
STREAMS_MAX: Final = 8000


class Hail(msgspec.Struct, frozen=True, gc=False):
    """A greeting for the streams of one browser."""

    visitor: str
    id: str
    frame: bytes


class SiteChannel(Hub):
    """Pushes greetings to open site streams."""

    def __init__(
        self, db: Database, clock: Clock, listener: Listener, on_fatal: Callable[[Exception], None] | None = None
    ) -> None:
        super().__init__("site", listener, store.SITE_CHANNEL, on_fatal)
        self._db = db
        self._clock = clock
        self._by_key: dict[str, int] = {}
        self._keys: dict[Subscription, str] = {}

    def prepare(self, row: tuple[str, str, str], now: datetime) -> Hail:  # noqa: ARG002 the query has judged the time
        """The frame of a stored greeting."""
        visitor, greeting, body = row
        return Hail(visitor, greeting, f"event: greeting\nid: {greeting}\ndata: {body}\n\n".encode())

    async def send(self, request: Hail) -> Result:
        """Push to every open stream of the browser that has not had it."""
        reached = False
        for sub in self.live(request.visitor):
            if sub.last_id != request.id:
                sub.last_id = request.id
                reached = sub.push(request.frame) or reached
        return Result(outcome="ok") if reached else Result(outcome="failed", detail="no stream took it")

    async def settle(self, request: Hail, result: Result, now: datetime) -> None:
        """A greeting is not remembered: the visitor who comes back later is greeted again."""

    @override
    async def deliver(self, keys: Collection[str]) -> Collection[str]:
        if not keys:
            return ()
        now = self._clock.now()
        for row in await store.greetings_for(self._db, list(keys), now):
            request = self.prepare(row, now)
            await self.settle(request, await self.send(request), now)
        return ()

    def subscribe(self, key: str, visitor: str) -> Subscription:
        """A stream of greetings for one browser.

        Raises:
            Unavailable: Too many streams for this key, this browser or this process.
        """
        browser = visitor_key(visitor)
        if (
            self._by_key.get(key, 0) >= STREAMS_PER_KEY
            or len(self.subscribed.get(browser, ())) >= STREAMS_PER_VISITOR
            or len(self._keys) >= STREAMS_MAX
        ):
            msg = "too many open streams; come back in a minute"
            raise Unavailable(msg, code="too_many_streams", retry_after_s=60)
        sub = Subscription(browser)
        self.add(sub)
        self._keys[sub] = key
        self._by_key[key] = self._by_key.get(key, 0) + 1
        STREAMS.labels(self.name).set(len(self._keys))
        return sub

    @override
    def remove(self, sub: Subscription) -> None:
        super().remove(sub)
        key = self._keys.pop(sub, None)
        if key is not None:
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]
            STREAMS.labels(self.name).set(len(self._keys))
