"""The inbox channel: notices to the reps' open streams. PostgreSQL and the cursor are its queue: nothing gets lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

import asyncpg
import msgspec
import structlog
from prometheus_client import Gauge, Histogram
from typing_extensions import override

from services.notify.channels.hub import Hub
from services.notify.channels.subscription import Subscription
from services.notify.core.attempt import Result
from services.notify.core.notice import decode, encode, shown, stale
from services.notify.store import notices as store
from services.notify.store.notices import Row
from services.runtime.clock import Clock
from services.runtime.db import Database, Listener
from services.runtime.errors import Unavailable
from services.runtime.telemetry import REGISTRY
from services.runtime.watched import watched

log = structlog.get_logger(__name__)

PAGE: Final = 100
# Of one rep in one process. A browser opens one whatever its tabs; a rep has a few devices, and programs forget to close.
STREAMS_PER_REP: Final = 20
SETTLE_S: Final = 0.25
SETTLE_MAX: Final = 20_000

# From 5 ms (a good minute) to 2 h (a late batch that becomes "you missed").
BUCKETS: Final = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 15, 60, 300, 1800, 7200)
DELIVERED = Histogram(
    "leadrouter_delivered_seconds",
    "From when an event occurred, or was received, until its notice was pushed to a rep's stream",
    ["since", "kind"],
    buckets=BUCKETS,
    registry=REGISTRY,
)
STREAMS = Gauge("leadrouter_streams", "Open streams", ["channel"], registry=REGISTRY)


class Push(msgspec.Struct, frozen=True, gc=False):
    """A frame for the streams of one rep. `news`: fresh, and on no screen yet."""

    rep: str
    id: str
    seq: int
    kind: str
    frame: bytes
    news: bool
    occurred_at: datetime | None
    received_at: datetime | None


def frame_of(row: Row, now: datetime) -> bytes:
    """The row as a server-sent event, as it may be shown at `now`."""
    body = row.body
    if stale(row.kind, row.state, row.fresh_until, now):
        body = encode(shown(decode(body), now, delivered=row.delivered_at is not None))
    return f"event: notice\nid: {row.seq}\ndata: {body}\n\n".encode()


class InboxChannel(Hub):
    """Pushes notices to open streams, and notes which have arrived."""

    def __init__(
        self, db: Database, clock: Clock, listener: Listener, on_fatal: Callable[[Exception], None] | None = None
    ) -> None:
        super().__init__("inbox", listener, store.INBOX_CHANNEL, on_fatal)
        self._db = db
        self._clock = clock
        self._arrived: dict[str, int] = {}
        self._settling: asyncio.Task[None] | None = None

    def prepare(self, row: Row, now: datetime) -> Push:
        """The frame; freshness is judged here, right before it is sent."""
        fresh = not stale(row.kind, row.state, row.fresh_until, now)
        return Push(
            rep=row.rep,
            id=row.id,
            seq=row.seq,
            kind=row.kind if fresh else "you_missed",
            frame=frame_of(row, now),
            news=fresh and row.delivered_at is None,
            occurred_at=row.occurred_at,
            received_at=row.received_at,
        )

    async def send(self, request: Push) -> Result:
        """Push to every open stream of the rep that is not past it."""
        return self._out(request)

    def _out(self, request: Push) -> Result:
        reached = False
        for sub in self.live(request.rep):
            if request.seq > sub.last:
                sub.last = request.seq
                reached = sub.push(request.frame) or reached
        return Result(outcome="ok") if reached else Result(outcome="failed", detail="no stream took it")

    async def settle(self, request: Push, result: Result, now: datetime) -> None:
        """Measure how long it took, and remember that a screen has it."""
        self._measure(request, result, now)

    def _measure(self, request: Push, result: Result, now: datetime) -> None:
        if result.outcome != "ok" or not request.news:
            return
        for since, at in (("occurred", request.occurred_at), ("received", request.received_at)):
            if at is not None:
                DELIVERED.labels(since, request.kind).observe(max(0.0, (now - at).total_seconds()))
        self.arrived(request.id, request.seq)

    def arrived(self, notice_id: str, seq: int) -> None:
        """A screen has this version of the notice."""
        if len(self._arrived) < SETTLE_MAX:
            self._arrived[notice_id] = seq

    @contextlib.contextmanager
    def telling(self, rows: Sequence[Row]) -> Iterator[None]:
        """Around the commit of `rows`: afterwards they are pushed without asking the database for them.

        A stream that lacks something older gets all of it from there, in order.

        Args:
            rows: By rep, then seq; those of a rep are all that the commit stores for them.
        """
        groups = {rep: list(group) for rep, group in groupby(rows, lambda row: row.rep)}
        self.expect(groups)
        try:
            yield
        except BaseException:
            self.unsure(groups)
            raise
        now = self._clock.now()
        for rep, new in groups.items():
            if rep not in self.subscribed:
                continue
            if all(sub.live and sub.last == new[0].seq - 1 for sub in self.subscribed[rep]):
                for row in new:
                    self._push(row, now)
            else:
                self.poke(rep)

    def _push(self, row: Row, now: datetime) -> None:
        request = self.prepare(row, now)
        self._measure(request, self._out(request), now)

    @override
    async def deliver(self, keys: Collection[str]) -> Collection[str]:
        cursors = {rep: min(s.last for s in subs) for rep in keys if (subs := self.live(rep))}
        if not cursors:
            return ()
        counts: dict[str, int] = {}
        now = self._clock.now()
        for row in await store.after(self._db, cursors, PAGE):
            counts[row.rep] = counts.get(row.rep, 0) + 1
            request = self.prepare(row, now)
            await self.settle(request, await self.send(request), now)
        return [rep for rep, count in counts.items() if count >= PAGE]

    async def subscribe(self, rep: str, after: int | None) -> Subscription:
        """A stream of the rep's notices behind `after`, or from now on. Not live yet: replay, then `go_live`.

        Raises:
            Unavailable: `too_many_streams`: the rep has so many open here. Those that are open stay: to end the oldest
                would have it come back and end the next.
        """
        if len(self.subscribed.get(rep, ())) >= STREAMS_PER_REP:
            msg = f"{STREAMS_PER_REP} streams of this inbox are open already: close one, or come back later"
            raise Unavailable(msg, code="too_many_streams", retry_after_s=30)
        sub = Subscription(rep)
        self.add(sub)
        STREAMS.labels(self.name).set(self.open_streams)
        try:
            # The place in the inbox is read after the stream is known: what comes later is pushed, nothing in between.
            newest = await store.seq_of(self._db, rep)
        except BaseException:
            self.remove(sub)
            raise
        sub.last = newest if after is None or after > newest else after
        return sub

    async def replay(self, sub: Subscription) -> AsyncIterator[bytes]:
        """What lies behind the stream's cursor, page by page, as frames."""
        while sub.ended is None:
            rows = await store.after(self._db, {sub.key: sub.last}, PAGE)
            now = self._clock.now()
            if rows:
                requests = [self.prepare(row, now) for row in rows]
                sub.last = rows[-1].seq
                yield b"".join(request.frame for request in requests)
                for request in requests:
                    if request.news:
                        self.arrived(request.id, request.seq)
            if len(rows) < PAGE:
                return

    @override
    def remove(self, sub: Subscription) -> None:
        super().remove(sub)
        STREAMS.labels(self.name).set(self.open_streams)

    @override
    async def start(self) -> None:
        await super().start()
        self._settling = watched(self._settle_run(), "inbox settle", self._on_fatal)

    @override
    async def stop(self) -> None:
        await super().stop()
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.gather(self._settling, return_exceptions=True)
            self._settling = None
        with contextlib.suppress(Unavailable, asyncpg.PostgresError):
            await self.flush()

    async def flush(self) -> None:
        """Write down which notices have arrived."""
        arrived, self._arrived = self._arrived, {}
        if not arrived:
            return
        try:
            await store.note_delivered(self._db, arrived, self._clock.now())
        except (Unavailable, asyncpg.PostgresError):
            self._arrived = {**arrived, **self._arrived}
            raise

    async def _settle_run(self) -> None:
        while True:
            await asyncio.sleep(SETTLE_S)
            try:
                await self.flush()
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("deliveries not noted yet", error=str(error))
