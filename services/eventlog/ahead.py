"""The batches after the one being applied: polled and prepared in the background, and cut short without losing a record."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar

from schemas.topics import StageName
from services.eventlog.ports import Batch, BatchHandler, LogReader, Record
from services.runtime import crash
from services.runtime.settings import Settings

W = TypeVar("W")

POLLED: Final = crash.step("consume.polled", "a batch is polled, nothing is prepared yet")


class Flight(Generic[W]):
    """A batch on its way, and what the handler has prepared for it."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.work: W
        self._task: asyncio.Task[None] | None = None

    def begin(self, handler: BatchHandler[W]) -> None:
        """Let the handler prepare it in the background."""
        self._task = asyncio.create_task(self.prepare(handler), name=f"prepare {self.batch.stage} {self.batch.topic}")

    async def prepare(self, handler: BatchHandler[W]) -> None:
        """Let the handler prepare it, once more if need be."""
        self.work = await handler.prepare(self.batch)

    async def ready(self) -> None:
        """Wait until it is prepared; raises what `prepare` raised."""
        if self._task is not None:
            await self._task

    async def halt(self) -> None:
        """Prepare it no further."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Ahead(Generic[W]):
    """Polls batches and has them prepared, in the order of the log.

    Args:
        epochs: Partitions that we own, with their epochs.
        read_to: Partition to the offset up to which earlier batches go: what lies below is dropped.
        depth: How many batches wait at most. More than one only while we are behind, that is after a full batch: when
            records come slowly, each is better off in the batch that forms while the one before is applied.

    Attributes:
        read_to: As given, moved past what is polled.
    """

    def __init__(  # noqa: PLR0917 made in one place
        self,
        stage: StageName,
        topic: str,
        reader: LogReader,
        handler: BatchHandler[W],
        settings: Settings,
        epochs: Mapping[int, int],
        read_to: Mapping[int, int],
        depth: int,
    ) -> None:
        self._stage: StageName = stage
        self._topic = topic
        self._reader = reader
        self._handler = handler
        self._settings = settings
        self._epochs = epochs
        self._depth = depth
        self.read_to = dict(read_to)
        self._flights: deque[Flight[W]] = deque()
        self._polling: asyncio.Task[None] | None = None
        self._came = asyncio.Event()
        self._cut = False

    async def first(self) -> Flight[W] | None:
        """The next batch, not yet prepared; None when nothing came in `poll_wait_s`. It stays until `take` or `drop`."""
        self._poll()
        while not self._flights and self._polling is not None and not self._polling.done():
            self._came.clear()
            await self._came.wait()
        polling = self._polling
        if polling is not None and polling.done():
            self._polling = None
            polling.result()  # raises what polling raised
        return self._flights[0] if self._flights else None

    def take(self) -> None:
        """The first batch is on its way to be applied: go on polling."""
        self._flights.popleft()
        self._poll()

    def drop(self) -> None:
        """The same after `halt`: `resume` goes on polling."""
        self._flights.popleft()

    async def halt(self) -> bool:
        """Stop polling and preparing. True when the handler has seen a batch, or part of it."""
        polling, self._polling = self._polling, None
        if polling is not None:
            self._cut = self._cut or not polling.done()
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
        for flight in self._flights:
            await flight.halt()
        return bool(self._flights)

    async def resume(self) -> None:
        """Go on after `halt`: what was polled is prepared anew."""
        if self._cut:
            # A poll cut short may have lost records on the way: read them again.
            await self._reader.assign(self.read_to)
            self._cut = False
        for flight in self._flights:
            flight.begin(self._handler)
        self._poll()

    def _poll(self) -> None:
        """Poll if there is room and nobody does; an error waits for `first`."""
        polling = self._polling
        if polling is not None and polling.done() and not polling.cancelled() and polling.exception() is None:
            self._polling = None
        if self._polling is None and self._room():
            self._polling = asyncio.create_task(self._fill(), name=f"poll {self._stage} {self._topic}")
            self._polling.add_done_callback(lambda _: self._came.set())

    async def _fill(self) -> None:
        limit = self._settings.batch_max_records
        while self._room():
            flight = self._flight(await self._reader.poll(limit, self._settings.poll_wait_s))
            if flight is None:
                return
            crash.reach(POLLED)
            self._flights.append(flight)
            flight.begin(self._handler)
            self._came.set()

    def _room(self) -> bool:
        flights = self._flights
        if not flights:
            return True
        return len(flights) < self._depth and len(flights[-1].batch.records) >= self._settings.batch_max_records

    def _flight(self, records: Sequence[Record]) -> Flight[W] | None:
        first: dict[int, int] = {}
        following: dict[int, int] = {}
        fresh: list[Record] = []
        read_to = self.read_to
        for record in records:
            part, offset = record.part, record.offset
            # A reader may still hold records of before a seek, or of a partition that is no longer ours.
            at = following.get(part)
            if at is None:
                at = read_to.get(part, offset + 1)
                if offset >= at:
                    first[part] = offset
            if offset >= at:
                following[part] = offset + 1
                fresh.append(record)
        if not fresh:
            return None
        self.read_to.update(following)
        epochs = {part: self._epochs[part] for part in first}
        return Flight(Batch(self._stage, self._topic, fresh, first, following, epochs))
