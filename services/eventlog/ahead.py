"""The batch after the one being applied: polled and prepared in the background, and cut short without losing a record."""

import asyncio
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

    async def prepare(self, handler: BatchHandler[W]) -> "Flight[W]":
        """Let the handler prepare it, once more if need be."""
        self.work = await handler.prepare(self.batch)
        return self


class Ahead(Generic[W]):
    """Polls one batch and prepares it, in the background.

    Args:
        epochs: Partitions that we own, with their epochs.
        read_to: Partition to the offset up to which earlier batches go: what lies below is dropped.
        kept: A batch polled before, to be prepared again; nothing is polled then.

    Attributes:
        polled: The batch, once it is polled.
        read_to: As given, moved past `polled`.
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
        kept: Flight[W] | None,
    ) -> None:
        self._stage: StageName = stage
        self._topic = topic
        self._reader = reader
        self._handler = handler
        self._settings = settings
        self._epochs = epochs
        self.read_to = dict(read_to)
        self.polled = kept
        self._task = asyncio.create_task(self._run(), name=f"ahead {stage} {topic}")

    async def flight(self) -> Flight[W] | None:
        """The prepared batch, None when nothing came in `poll_wait_s`; raises what poll or prepare raised."""
        return await self._task

    async def halt(self) -> bool:
        """End it, whatever it is at. True when the handler has seen the batch, or part of it."""
        if not self._task.done():
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.polled is not None

    async def _run(self) -> Flight[W] | None:
        if self.polled is None:
            self.polled = self._flight(
                await self._reader.poll(self._settings.batch_max_records, self._settings.poll_wait_s)
            )
            if self.polled is None:
                return None
            crash.reach(POLLED)
        return await self.polled.prepare(self._handler)

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
