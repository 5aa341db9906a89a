"""Reading one topic of Kafka: partitions taken with `assign`, as the leases say, from positions in `log.lease`."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from services.eventlog.kafka_calls import AWAY, METADATA_MAX_AGE_MS, bounded, connection, discard, where
from services.eventlog.ports import LogTruncated, Record
from services.runtime.errors import Unavailable
from services.runtime.settings import Settings

logger = structlog.get_logger(__name__)

# Records wait and none came for so long: the client is stuck (aiokafka #847, #703), make a new one.
STUCK_S: Final = 15.0
FETCH_MAX_WAIT_MS: Final = 100


class KafkaReader:
    """Reads one topic through a client of its own, made anew after an error."""

    def __init__(self, settings: Settings, topic: str, group: str, closed: Callable[["KafkaReader"], None]) -> None:
        self._closed = closed
        self._where = where(settings)
        self._connection = connection(settings)
        self._topic = topic
        self._group = group
        self._timeout_s = settings.kafka_timeout_s
        self._max_records = settings.batch_max_records
        self._client: Any = None
        self._starting = asyncio.Lock()
        self._assigned = False
        self._next: dict[int, int] = {}
        self._came_at = 0.0
        self._empty = False

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset."""
        same = self._assigned and self._next.keys() == positions.keys()
        moved = {part: at for part, at in positions.items() if not same or self._next[part] != at}
        self._next = dict(positions)
        self._came_at = time.monotonic()
        client = await self._started()
        if positions and not same:
            client.assign([TopicPartition(self._topic, part) for part in positions])
            self._assigned = True
        for part, at in moved.items():
            client.seek(TopicPartition(self._topic, part), at)

    async def poll(self, max_records: int, max_wait_s: float) -> Sequence[Record]:
        """What is there, at once; waits up to `max_wait_s` only when nothing is."""
        if not self._next:
            await asyncio.sleep(max_wait_s)
            return []
        client = await self._started()
        try:
            found = await bounded(
                client.getmany(timeout_ms=int(max_wait_s * 1000), max_records=max_records),
                max_wait_s + self._timeout_s,
                self._where,
            )
        except Unavailable as error:
            await self._drop()
            if isinstance(error.__cause__, OffsetOutOfRangeError):
                raise LogTruncated(
                    f"{self._topic}: the next record to read is not in the log: {error.__cause__}. Records were dropped "
                    "by age before they were read, or the topic was made anew; see the runbook, position_outside_log"
                ) from error
            raise
        except asyncio.CancelledError:
            self._assigned = False  # what it had in hand may be lost: seek before the next poll
            raise
        records: list[Record] = []
        for place, polled in found.items():
            part = place.partition
            if polled and part in self._next:
                records += [Record(part, one.offset, one.key, one.value, one.timestamp) for one in polled]
                self._next[part] = polled[-1].offset + 1
        self._empty = not records
        if records:
            self._came_at = time.monotonic()
        return records

    async def bounds(self, parts: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """Partition to (first offset still there, next offset to be written)."""
        client = await self._started()
        places = [TopicPartition(self._topic, part) for part in parts]

        async def both() -> list[dict[Any, int]]:
            return list(await asyncio.gather(client.beginning_offsets(places), client.end_offsets(places)))

        first, end = await bounded(both(), self._timeout_s + 1, self._where)
        if any(end[place] > self._next.get(place.partition, end[place]) for place in places):
            if self._empty and time.monotonic() - self._came_at > STUCK_S:
                logger.warning(
                    "the Kafka client gives nothing though records wait: making a new one", topic=self._topic
                )
                await self._drop()
        else:
            self._came_at = time.monotonic()
        return {place.partition: (first[place], end[place]) for place in places}

    def applied(self, positions: Mapping[int, int]) -> None:
        """Nothing to do: Kafka gives whatever there is."""

    async def note(self, positions: Mapping[int, int]) -> None:
        """Commit for the group, so that ordinary lag tools see us. Nothing reads it back."""
        client = self._client
        mine = {TopicPartition(self._topic, part): at for part, at in positions.items() if part in self._next}
        if client is not None and mine:
            with contextlib.suppress(*AWAY):
                await asyncio.wait_for(client.commit(mine), self._timeout_s)

    async def close(self) -> None:
        """Close the client; safe to call twice."""
        await self._drop()
        self._closed(self)

    async def _started(self) -> Any:
        async with self._starting:
            if self._client is not None and self._assigned:
                return self._client
            if self._client is None:
                client = AIOKafkaConsumer(
                    **self._connection,
                    group_id=self._group,
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    fetch_min_bytes=1,
                    fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
                    max_poll_records=self._max_records,
                    metadata_max_age_ms=METADATA_MAX_AGE_MS,
                    check_crcs=True,
                )
                try:
                    await bounded(client.start(), self._timeout_s + 1, self._where)
                except BaseException:
                    await discard(client.stop)
                    raise
                self._client = client
            if self._next:
                self._client.assign([TopicPartition(self._topic, part) for part in self._next])
                for part, at in self._next.items():
                    self._client.seek(TopicPartition(self._topic, part), at)
                self._assigned = True
            return self._client

    async def _drop(self) -> None:
        client, self._client, self._assigned = self._client, None, False
        if client is not None:
            await discard(client.stop)
