"""The loop that drives a stage: read a batch, let the handler prepare it, let it apply it, go on.

While batch N is applied, N+1 is polled and prepared, and N+2 too where the handler allows it. Leases say what to read, the fence inside the handler's
transaction decides; whatever goes wrong, the loop begins anew from the positions in `log.lease`:

    Conflict      reset, prepare again what was read, apply again; small growing pauses
    Fenced        drop those partitions, read the leases again
    Unavailable   wait and try again, for ever: no restart is needed when the database or the log is back
    else          a bug, or a stop on purpose: nothing more is committed, `on_fatal` ends the process
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

import structlog

from schemas.topics import StageName
from services.eventlog import deadletter, metrics
from services.eventlog.ahead import Ahead, Flight
from services.eventlog.fence import translate
from services.eventlog.lease import Held, Leases
from services.eventlog.ports import BatchHandler, Log, LogTruncated, Outbox, StoppedLoudly
from services.runtime import crash
from services.runtime.clock import Clock, SystemClock
from services.runtime.db import Database
from services.runtime.errors import Conflict, Fenced, Unavailable
from services.runtime.settings import Settings

logger = structlog.get_logger(__name__)
W = TypeVar("W")

TICK_S: Final = 1.0
# Conflicts are settled within a try or two; a batch that conflicts so often does so for ever.
CONFLICTS_MAX: Final = 50
CONFLICT_PAUSE_S: Final = (0.005, 0.5)
AWAY_PAUSE_S: Final = (0.2, 5.0)
NOTHING_OWNED_S: Final = 1.0
FLUSH_S: Final = 5.0

APPLIED: Final = crash.step("consume.applied", "a batch is committed and handed to the outbox, the loop goes on")


class Beats(Protocol):
    """What the loop needs of `runtime.health.Loops`."""

    def beat(self, name: str) -> None:
        """The loop has turned."""
        ...

    def forget(self, name: str) -> None:
        """The loop has ended, as it should."""
        ...


class Consumer(Generic[W]):
    """Reads one topic for one stage and drives its handler.

    Args:
        leases: Started and stopped by the consumer.
        settings: `batch_max_records`, `poll_wait_s`, `dead_letter_max_run`.
        loops: Beaten as `consume.<stage>.<topic>` at every turn.
        outbox: The handler's outbox, if it has one: drained before partitions of an owner that is gone are read,
            flushed before partitions are given away.
        depth: How many batches may be prepared while one is applied; see `BatchHandler`.
        on_fatal: Called once, from the loop, when it has ended by a bug or on purpose: end the process. Without one
            `ready` says so, and the watchdog ends the process since the loop no longer beats.
    """

    def __init__(  # noqa: PLR0917 the doors of a stage
        self,
        log: Log,
        topic: str,
        stage: StageName,
        handler: BatchHandler[W],
        db: Database,
        leases: Leases,
        settings: Settings,
        loops: Beats,
        *,
        outbox: Outbox | None = None,
        depth: int = 1,
        on_fatal: Callable[[Exception], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._topic = topic
        self._stage: StageName = stage
        self._handler = handler
        self._db = db
        self._leases = leases
        self._settings = settings
        self._loops = loops
        self._outbox = outbox
        self._depth = depth
        self._on_fatal = on_fatal
        self._clock: Clock = clock or SystemClock()
        self._reader = log.reader(topic, f"lead-router-{stage}")
        self._name = f"consume.{stage}.{topic}"
        self._run_of_dead = deadletter.Run(settings.dead_letter_max_run)
        self._task: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._reading = False
        self._epochs: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._seen_ms: dict[int, int] = {}
        self._ticked_at = -TICK_S
        self._troubles = 0  # since the last batch that went through
        # What ended the loop, if anything did.
        self.failed: Exception | None = None

    async def start(self) -> None:
        """Begin to lease and to read in the background; does not wait for either."""
        self._loops.beat(self._name)
        await self._leases.start()
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self, deadline_s: float) -> None:
        """Finish the batch under way, release the partitions; safe to call twice.

        Args:
            deadline_s: All of it together; what is not committed by then is read again by the next owner.
        """
        end = self._clock.monotonic() + deadline_s
        self._stopping.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, deadline_s)
            self._task = None
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        if self._outbox is not None and not await self._outbox.flush(max(0.1, end - self._clock.monotonic())):
            logger.warning("messages stay in the outbox for the next owner", stage=self._stage, topic=self._topic)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leases.stop(), max(1.0, end - self._clock.monotonic()))
        await self._reader.close()
        self._loops.forget(self._name)

    def ready(self) -> str | None:
        """None when this stage takes records, here or in another process; else why not, in words."""
        if self.failed is not None:
            return f"{self._stage} has stopped: {self.failed}"
        missing = self._leases.ready()
        if missing is None and self._leases.held and not self._reading:
            return f"{self._stage} has leases of {self._topic} but does not read yet"
        return missing

    def lag(self) -> list[dict[str, Any]]:
        """Each owned partition with the records that wait and the seconds since the newest handled one."""
        now_ms = self._clock.now().timestamp() * 1000
        lags = []
        for part, position in sorted(self._positions.items()):
            records = max(0, self._ends.get(part, position) - position)
            seen = self._seen_ms.get(part)
            seconds = max(0.0, (now_ms - seen) / 1000) if records and seen is not None else 0.0
            lags.append({"part": part, "records": records, "seconds": round(seconds, 3)})
        return lags

    # -- the outer loop: sessions, each under one set of leases

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._loops.beat(self._name)
            try:
                await self._session()
                self._troubles = 0
                continue
            except Exception as raised:  # noqa: BLE001 sorted right below; what is not known ends the loop
                error = translate(raised)
            self._reading = False
            if not isinstance(error, Fenced | Conflict | Unavailable):
                self._fatal(error)
                return
            metrics.RETRIES.labels(self._stage, self._topic, error.code).inc()
            logger.warning(
                "reading begins anew", stage=self._stage, topic=self._topic, why=error.code, error=error.message
            )
            self._handler.reset()
            self._troubles += 1
            if isinstance(error, Fenced):
                self._leases.lost(error.parts or tuple(self._epochs))
            await self._pause(AWAY_PAUSE_S if isinstance(error, Unavailable) else CONFLICT_PAUSE_S, self._troubles)

    def _fatal(self, error: Exception) -> None:
        logger.critical("stage stops", stage=self._stage, topic=self._topic, error=str(error), exc_info=error)
        self.failed = error
        if self._on_fatal is not None:
            self._on_fatal(error)

    async def _session(self) -> None:
        """Read under the leases that we hold now, until they change."""
        held = await self._leases.refresh()
        self._leases.changed.clear()
        if self._leases.failed is not None:
            raise self._leases.failed
        if self._leases.giving:
            await self._give_back()
        gone = {lease.was for lease in held.values() if lease.was and self._epochs.get(lease.part) != lease.epoch}
        if self._outbox is not None and (gone or self._epochs.keys() != held.keys()):
            await self._outbox.drain(sorted(gone))
        await self._own(held)
        if not held:
            self._reading = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leases.changed.wait(), NOTHING_OWNED_S)
            return
        self._loops.beat(self._name)
        await self._reader.assign(self._positions)
        self._reading = True
        await self._pipeline()

    async def _give_back(self) -> None:
        giving = self._leases.giving
        if self._outbox is not None:
            await self._outbox.flush(FLUSH_S)
        await self._leases.release(giving)
        logger.info("leases given to another owner", stage=self._stage, topic=self._topic, parts=sorted(giving))

    async def _own(self, held: Mapping[int, Held]) -> None:
        """Take positions and epochs from the leases; tell the handler what is its own."""
        positions = await self._checked(held) if held else {}
        epochs = {part: lease.epoch for part, lease in held.items()}
        if any(self._epochs.get(part, epoch) != epoch for part, epoch in epochs.items()):
            self._handler.reset()  # lost and won again in between: somebody else may have written
        if epochs != self._epochs:
            self._handler.owned(sorted(epochs))
        for part in self._epochs.keys() - epochs.keys():
            metrics.LAG_RECORDS.labels(self._stage, self._topic, str(part)).set(0)
            metrics.LAG_SECONDS.labels(self._stage, self._topic, str(part)).set(0)
        self._epochs, self._positions = epochs, positions
        self._seen_ms = {part: at for part, at in self._seen_ms.items() if part in epochs}
        if positions:
            self._run_of_dead.length = await deadletter.trailing(
                self._db, self._stage, self._topic, positions, self._run_of_dead.limit
            )

    async def _checked(self, held: Mapping[int, Held]) -> dict[int, int]:
        bounds = await self._reader.bounds(sorted(held))
        positions: dict[int, int] = {}
        for part, lease in held.items():
            first, end = bounds[part]
            at = lease.next_offset
            if at < 0:
                at = first
                await self._leases.begin(part, lease.epoch, first)
            if not first <= at <= end:
                what = "records were dropped before they were read" if at < first else "the topic was made anew"
                raise LogTruncated(
                    f"{self._stage} has read {self._topic} partition {part} up to {at}, but the log holds {first} to "
                    f"{end}: {what}. Nothing is skipped without you: see the runbook, position_outside_log"
                )
            positions[part] = at
        self._ends = {part: end for part, (_, end) in bounds.items()}
        return positions

    # -- the inner loop: batches

    async def _pipeline(self) -> None:
        ahead = Ahead(
            self._stage, self._topic, self._reader, self._handler, self._settings, self._epochs, self._positions,
            self._depth,
        )  # fmt: skip
        try:
            while not self._stopping.is_set() and not self._leases.changed.is_set():
                self._loops.beat(self._name)
                await self._tick()
                flight = await self._prepared(ahead)
                if flight is not None:
                    await self._apply(flight, ahead)
        finally:
            if await ahead.halt():
                self._handler.reset()  # it may have noted what it read ahead, and that batch is not coming

    async def _prepared(self, ahead: Ahead[W]) -> Flight[W] | None:
        """The batch polled ahead, with the work that the handler has prepared; None when nothing came."""
        flight = await ahead.first()
        if flight is None:
            return None
        try:
            await flight.ready()
        except Conflict as conflict:
            await ahead.halt()
            await self._again(flight, conflict, 1)
            ahead.drop()
            await ahead.resume()
        else:
            ahead.take()
        return flight

    async def _again(self, flight: Flight[W], conflict: Exception, tries: int) -> None:
        """Prepare a batch again after a conflict, until that works. Nothing else may be on its way."""
        while True:
            if tries > CONFLICTS_MAX:
                raise StoppedLoudly(f"{self._stage} stops: one batch conflicts for ever: {conflict}", code="conflicts")
            metrics.RETRIES.labels(self._stage, self._topic, "conflict").inc()
            self._loops.beat(self._name)
            self._handler.reset()
            await self._pause(CONFLICT_PAUSE_S, tries)
            try:
                return await flight.prepare(self._handler)
            except Exception as raised:
                error = translate(raised)
                if not isinstance(error, Conflict):
                    raise
                conflict, tries = error, tries + 1

    async def _apply(self, flight: Flight[W], ahead: Ahead[W]) -> None:
        tries = 0
        while True:
            try:
                return await self._apply_once(flight)
            except Exception as raised:
                error = translate(raised)
                if not isinstance(error, Conflict):
                    await ahead.halt()
                    raise
            tries += 1
            logger.info("batch conflicts", stage=self._stage, topic=self._topic, tries=tries, error=error.message)
            await ahead.halt()
            await self._again(flight, error, tries)
            await ahead.resume()

    async def _apply_once(self, flight: Flight[W]) -> None:
        batch, started = flight.batch, self._clock.monotonic()
        self._run_of_dead.begin(len(batch.records))
        token = deadletter.RUN.set(self._run_of_dead)
        try:
            await self._handler.apply(batch, flight.work)
        finally:
            deadletter.RUN.reset(token)
        crash.reach(APPLIED)
        self._troubles = 0
        self._run_of_dead.end([(record.part, record.offset) for record in batch.records])
        self._positions = {**self._positions, **batch.next}
        self._reader.applied(batch.next)
        newest = {record.part: record.at_ms for record in batch.records}
        self._seen_ms.update(newest)
        self._leases.seen(newest)
        metrics.BATCH_SECONDS.labels(self._stage, self._topic).observe(self._clock.monotonic() - started)
        metrics.BATCH_RECORDS.labels(self._stage, self._topic).observe(len(batch.records))
        metrics.RECORDS.labels(self._stage, self._topic).inc(len(batch.records))

    async def _tick(self) -> None:
        now = self._clock.monotonic()
        if now - self._ticked_at < TICK_S:
            return
        self._ticked_at = now
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.create_task(self._measure(dict(self._positions)), name=f"{self._name} lag")
        await self._handler.tick(dict(self._epochs))

    async def _measure(self, positions: dict[int, int]) -> None:
        """How far behind are we? Tells outside lag tools too."""
        with contextlib.suppress(Unavailable):
            bounds = await self._reader.bounds(sorted(positions))
            self._ends = {part: end for part, (_, end) in bounds.items()}
            for lag in self.lag():
                labels = (self._stage, self._topic, str(lag["part"]))
                metrics.LAG_RECORDS.labels(*labels).set(lag["records"])
                metrics.LAG_SECONDS.labels(*labels).set(lag["seconds"])
            await self._reader.note(positions)

    async def _pause(self, limits: Sequence[float], tries: int) -> None:
        """Wait a little, longer each time, and never all at the same moment."""
        low, high = limits
        seconds = min(high, low * 2 ** min(tries - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311 not a secret
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
