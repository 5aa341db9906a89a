"""Durable, then answered: requests that meet are committed together, and all of them hear of it at once.

The log comes first. When it is away the batch goes into the spool (the outbox in PostgreSQL), which is relayed in order
once the log is back. Crash points: a crash before the commit loses nothing that was answered; a crash after it, before
the answer, makes the client send again, and duplicates are harmless.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import asyncpg
import msgspec
import structlog

from schemas.codec import Message
from services.eventlog.fence import translate
from services.eventlog.ports import DeadRecord, LogWriter, Outbox
from services.ingest.handler import metrics
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import AWAY, Database
from services.runtime.errors import BadMessage, LeadRouterError, Unavailable

log = structlog.get_logger(__name__)

PUBLISHED: Final = crash.step("ingest.published", "events are in the log, nobody has been answered")
SPOOLED: Final = crash.step("ingest.spooled", "events are in the spool, nobody has been answered")
BURIED: Final = crash.step("ingest.buried", "bad items are in the dead letters, good ones nowhere yet")

# One commit: large enough to carry 60,000 events a second at 30 commits, small enough to stay below Kafka's 1 MB defaults.
EVENTS_MAX: Final = 2000
BYTES_MAX: Final = 4_194_304
# While the log is away it is asked so often, in the background: a try by a request would cost that request its time-out.
PROBE_S: Final = 1.0
RETRY_AFTER_S: Final = 2.0

# None when the log answers, else what is wrong.
Healthy = Callable[[], Awaitable[str | None]]
Bury = Callable[[Sequence[DeadRecord]], Awaitable[None]]


class _Waiting(msgspec.Struct):
    """What one request wants kept."""

    messages: Sequence[Message]
    dead: Sequence[DeadRecord]
    done: asyncio.Future[None]
    size: int


class Committer:
    """Collects what requests bring and makes it durable in groups.

    Args:
        spool: Where batches go while the log is away; None when the log itself lies in PostgreSQL.
        bury: Keeps dead letters, all or none.
        wait_s: How long the first request of a group waits for company, in seconds; only while requests do meet.
        queue_max: Events that may wait; more are refused.
    """

    def __init__(
        self,
        writer: LogWriter,
        spool: Outbox | None,
        bury: Bury,
        healthy: Healthy,
        *,
        db: Database,
        clock: Clock,
        wait_s: float,
        queue_max: int,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = writer
        self._spool = spool
        self._bury = bury
        self._healthy = healthy
        self._db = db
        self._clock = clock
        self._wait_s = wait_s
        self._queue_max = queue_max
        self._beat = beat
        self._queue: list[_Waiting] = []
        self._queued = 0
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._met = False  # the group before held more than one request: there is company to wait for
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._away: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="ingest commit")

    async def stop(self, seconds: float) -> None:
        """Take nothing more, commit what waits, at most `seconds`."""
        self._closed = True
        self._some.set()
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=seconds)
            if late:
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._away is not None:
            self._away.cancel()
            await asyncio.gather(self._away, return_exceptions=True)

    @property
    def log_away(self) -> bool:
        """Whether events go into the spool at present."""
        return self._away is not None and not self._away.done()

    @property
    def ended(self) -> bool:
        """Whether nothing is committed any more: stopped, or ended by a bug."""
        return self._task is None or self._task.done()

    async def commit(self, messages: Sequence[Message], dead: Sequence[DeadRecord] = ()) -> None:
        """Returns when all of it is durable.

        Raises:
            Unavailable: Too much waits, or neither log nor spool takes it; send it again.
            BadMessage: The log does not take one of the messages.
        """
        if self._closed:
            raise _stopping()
        size = len(messages) + len(dead)
        if size == 0:
            return
        if self._queued and self._queued + size > self._queue_max:
            msg = f"{self._queued} events wait to be stored; send it again later"
            raise Unavailable(msg, code="too_busy", retry_after_s=RETRY_AFTER_S)
        waiting = _Waiting(messages, dead, asyncio.get_running_loop().create_future(), size)
        self._queue.append(waiting)
        self._queued += size
        self._some.set()
        if self._queued >= EVENTS_MAX:
            self._full.set()
        started = self._clock.monotonic()
        await waiting.done
        metrics.COMMIT_SECONDS.observe(self._clock.monotonic() - started)

    async def _run(self) -> None:
        try:
            await self._turn()
        except Exception:
            # A bug: nothing more is taken, the loop no longer beats, and the watchdog ends the process.
            log.exception("the commit loop has ended")
            raise
        finally:
            # However it ended: nobody may wait for an answer that never comes.
            self._closed = True
            self._fail(self._queue, _stopping())
            self._queue = []

    async def _turn(self) -> None:
        while not (self._closed and not self._queue):
            self._beat()
            try:
                async with asyncio.timeout(1.0):
                    await self._some.wait()
            except TimeoutError:
                continue
            if self._met and self._wait_s > 0 and not self._closed and self._queued < EVENTS_MAX:
                self._full.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._wait_s):
                        await self._full.wait()
            group = self._take()
            self._met = len(group) > 1
            if group:
                await self._settle(group)

    def _take(self) -> list[_Waiting]:
        """The next group, in the order of arrival; a single request is never split."""
        events = size = taken = 0
        for waiting in self._queue:
            size += sum([len(message.value or b"") for message in waiting.messages])
            events += waiting.size
            if taken and (events > EVENTS_MAX or size > BYTES_MAX):
                break
            taken += 1
        group, self._queue = self._queue[:taken], self._queue[taken:]
        self._queued -= sum(waiting.size for waiting in group)
        if not self._queue:
            self._some.clear()
        metrics.QUEUE.set(self._queued)
        return group

    async def _settle(self, group: list[_Waiting]) -> None:
        """Commit a group and tell everybody who waits for it."""
        try:
            await self._keep([d for w in group for d in w.dead], [m for w in group for m in w.messages])
        except BadMessage as error:
            if len(group) == 1:
                self._fail(group, error)
                return
            for waiting in group:  # one of them is to blame; the others must not suffer
                await self._settle([waiting])
        except LeadRouterError as error:
            self._fail(group, error)
        except BaseException:
            self._fail(group, _stopping())
            raise
        else:
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_result(None)

    async def _keep(self, dead: Sequence[DeadRecord], messages: Sequence[Message]) -> None:
        try:
            if dead:
                await self._bury(dead)
                crash.reach(BURIED)
            if not messages:
                return
            metrics.COMMIT_EVENTS.observe(len(messages))
            if self._spool is None:
                await self._writer.publish(messages)
            else:
                await self._publish_or_spool(self._spool, messages)
            crash.reach(PUBLISHED)
        except (asyncpg.PostgresError, *AWAY) as error:
            known = translate(error)
            if known is error:
                raise
            raise known from error

    async def _publish_or_spool(self, spool: Outbox, messages: Sequence[Message]) -> None:
        away: Unavailable | None = None
        if not self.log_away:
            try:
                await self._writer.publish(messages)
                return
            except Unavailable as error:
                away = error
                self._away = asyncio.create_task(self._until_back(), name="ingest log probe")
                log.warning("the log is away: events go into the spool", reason=error.code)
        try:
            async with self._db.transaction() as pg:
                staged = await spool.stage(pg, messages)
        except Unavailable as error:
            raise away or error from error
        crash.reach(SPOOLED)
        metrics.SPOOLED.inc(len(messages))
        await spool.committed(staged)

    async def _until_back(self) -> None:
        """Ends when the log answers again."""
        while True:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(LeadRouterError):
                if await self._healthy() is None:
                    log.info("the log is back")
                    return

    @staticmethod
    def _fail(group: Sequence[_Waiting], error: Exception) -> None:
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_exception(error)


def _stopping() -> Unavailable:
    return Unavailable("ingest is stopping; send it again", code="stopping", retry_after_s=RETRY_AFTER_S)
