"""The log in Apache Kafka: the only file that speaks to aiokafka.

Every call is bounded in time (aiokafka's are not: a sender or a stop may hang for ever), and every client is thrown away
and made anew after an error. Partitions are taken with `assign`, as the leases say; positions come from `log.lease`.
Writing is idempotent within the life of a client; a record may still be written twice around an error, and readers
expect that (DESIGN: duplicates are harmless).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OffsetOutOfRangeError

from schemas.codec import Message
from schemas.topics import FLOW, Topic
from services.eventlog import metrics
from services.eventlog.core.murmur2 import partition_of
from services.eventlog.core.retention import keep_days
from services.eventlog.gather import Gather, Item, size_of
from services.eventlog.ports import Encode, LogTruncated, LogWriter, Outbox, Record
from services.runtime.errors import BadMessage, LeadRouterError, Misconfigured, Unavailable
from services.runtime.settings import Settings

logger = structlog.get_logger(__name__)
T = TypeVar("T")

# What aiokafka raises when a broker is away, or when it was closed under a call that was under way.
AWAY: Final = (KafkaError, OSError, asyncio.TimeoutError)
# A batch must fit in the topic's max.message.bytes, which is 1 MiB + 12 unless somebody changed it.
BATCH_BYTES: Final = 1_000_000
# Key, value, lengths and times of one record must fit in a batch.
MESSAGE_BYTES: Final = BATCH_BYTES - 1_000
CLOSE_S: Final = 2.0
# Records wait and none came for so long: the client is stuck (aiokafka #847, #703), make a new one.
STUCK_S: Final = 15.0
METADATA_MAX_AGE_MS: Final = 1000
FETCH_MAX_WAIT_MS: Final = 100
TOPIC_EXISTS: Final = 36


async def bounded(work: Awaitable[T], seconds: float, where: str) -> T:
    """The result of `work`, or `Unavailable` when Kafka does not give one in time."""
    try:
        return await asyncio.wait_for(work, seconds)
    except AWAY as error:
        said = "" if isinstance(error, asyncio.TimeoutError) or not str(error) else f": {error}"
        raise Unavailable(f"Kafka at {where} does not answer{said}", code="kafka_away") from error


async def discard(close: Callable[[], Awaitable[Any]]) -> None:
    """Close a client, or give up on it: after a failed start some of its parts are not there."""
    with contextlib.suppress(*AWAY, AttributeError, AssertionError):
        await asyncio.wait_for(close(), CLOSE_S)


class KafkaReader:
    """Reads one topic through a client of its own, made anew after an error."""

    def __init__(self, settings: Settings, topic: str, group: str) -> None:
        self._where = str(settings.kafka)
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
        records = [
            Record(place.partition, record.offset, record.key, record.value, record.timestamp)
            for place, polled in found.items()
            for record in polled
            if place.partition in self._next
        ]
        for record in records:
            self._next[record.part] = record.offset + 1
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

    async def _started(self) -> Any:
        async with self._starting:
            if self._client is not None and self._assigned:
                return self._client
            if self._client is None:
                client = AIOKafkaConsumer(
                    bootstrap_servers=self._where,
                    group_id=self._group,
                    client_id="lead-router",
                    enable_auto_commit=False,
                    auto_offset_reset="none",
                    fetch_min_bytes=1,
                    fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
                    max_poll_records=self._max_records,
                    request_timeout_ms=int(self._timeout_s * 1000),
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


class KafkaWriter:
    """Writes by whole batches, one round at a time, through a client made anew after an error."""

    def __init__(self, log: "KafkaLog", settings: Settings) -> None:
        self._log = log
        self._where = str(settings.kafka)
        self._timeout_s = settings.kafka_timeout_s
        self._client: Any = None
        self._gather = Gather(self._send)

    async def publish(self, messages: Sequence[Message], part: int | None = None) -> None:
        """Returns when all of `messages` are acknowledged by all replicas in sync."""
        for message in messages:
            if size_of(message) > MESSAGE_BYTES:
                raise BadMessage(
                    f"a message for {message.topic} has {size_of(message)} bytes, the log takes {MESSAGE_BYTES}",
                    code="message_too_large",
                )
        if messages:
            await self._gather.put([(message, self._log.place(message, part)) for message in messages])

    async def close(self) -> None:
        """Finish what is under way; bounded."""
        await self._gather.close(self._timeout_s)
        await self._drop()

    async def _send(self, items: list[Item]) -> Mapping[int, Exception]:
        groups: dict[tuple[str, int], list[int]] = {}
        for place, (message, part) in enumerate(items):
            groups.setdefault((message.topic, part), []).append(place)
        client = await self._started()
        failed: dict[int, Exception] = {}

        async def send_group(topic: str, part: int, places: list[int]) -> None:
            try:
                # Two request time-outs: one for a leader that has just died, one for the new one.
                await bounded(self._send_places(client, topic, part, places, items), 2 * self._timeout_s, self._where)
            except LeadRouterError as error:
                too_large = isinstance(error.__cause__, MessageSizeTooLargeError) and len(places) == 1
                failed.update(dict.fromkeys(places, _too_large(topic) if too_large else error))

        await asyncio.gather(*(send_group(topic, part, places) for (topic, part), places in groups.items()))
        if failed:
            await self._drop()
            await self._one_by_one(items, failed)
        return failed

    async def _one_by_one(self, items: list[Item], failed: dict[int, Exception]) -> None:
        """Find the messages that the broker finds too large: their neighbours are sent without them."""
        large = [place for place, error in failed.items() if isinstance(error.__cause__, MessageSizeTooLargeError)]
        if not large:
            return
        client = await self._started()
        for place in large:
            message, part = items[place]
            try:
                await bounded(
                    self._send_places(client, message.topic, part, [place], items), 2 * self._timeout_s, self._where
                )
                del failed[place]
            except LeadRouterError as error:
                too_large = isinstance(error.__cause__, MessageSizeTooLargeError)
                failed[place] = _too_large(message.topic) if too_large else error
                await self._drop()
                client = await self._started()

    async def _send_places(self, client: Any, topic: str, part: int, places: list[int], items: list[Item]) -> None:
        """Send messages of one partition, in order, as few batches."""
        batch = client.create_batch()
        for place in places:
            message = items[place][0]
            if batch.append(key=message.key, value=message.value, timestamp=None) is None:
                await (await client.send_batch(batch, topic, partition=part))
                batch = client.create_batch()
                batch.append(key=message.key, value=message.value, timestamp=None)
        batch.close()
        await (await client.send_batch(batch, topic, partition=part))
        metrics.PUBLISHED.labels(topic).inc(len(places))

    async def _started(self) -> Any:
        if self._client is None:
            client = AIOKafkaProducer(
                bootstrap_servers=self._where,
                client_id="lead-router",
                acks="all",
                enable_idempotence=True,
                max_batch_size=BATCH_BYTES,
                linger_ms=0,
                request_timeout_ms=int(self._timeout_s * 1000),
                metadata_max_age_ms=METADATA_MAX_AGE_MS,
            )
            try:
                await bounded(client.start(), self._timeout_s + 1, self._where)
            except BaseException:
                await _end_producer(client)
                raise
            self._client = client
        return self._client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _end_producer(client)


def _too_large(topic: str) -> BadMessage:
    return BadMessage(f"the broker refuses a message for {topic} as too large", code="message_too_large")


async def _end_producer(client: Any) -> None:
    """Close a producer without waiting for what it still holds: `stop` of an idempotent one waits for ever."""
    client._closed = True
    sender = client._sender
    if sender is not None and sender.sender_task is not None:
        await discard(sender.close)
    await discard(client.client.close)


class KafkaLog:
    """The log as a whole.

    Args:
        outboxes: Makes the outbox for (writer, stage, lane, encode): they lie in the database.
        topics: Which topics there are; tests may use others.
    """

    def __init__(
        self,
        settings: Settings,
        owner: str,
        outboxes: Callable[[LogWriter, str, str, Encode | None], Outbox],
        topics: Sequence[Topic] = FLOW,
    ) -> None:
        if not settings.kafka:
            raise Misconfigured("LEAD_ROUTER_KAFKA is not set")
        self.owner = owner
        self._settings = settings
        self._where = settings.kafka
        self._make_outbox = outboxes
        self._topics = {topic.name: topic for topic in topics}
        self._writer = KafkaWriter(self, settings)
        self._readers: list[KafkaReader] = []
        self._outboxes: dict[tuple[str, str], Any] = {}
        # It says at ERROR, for each broker and try, what we say once and in our own words.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def ensure_topics(self) -> None:
        """Make the topics that are missing; check the partition counts of all."""
        client = self._admin()
        limit = self._settings.kafka_timeout_s + 1
        try:
            await bounded(client.start(), limit, self._where)
            there = await bounded(client.describe_topics(), limit, self._where)
            known = {topic["topic"]: topic for topic in there}
            missing = [self._new(topic) for name, topic in self._topics.items() if name not in known]
            if missing:
                made = await bounded(client.create_topics(missing), 3 * limit, self._where)
                for name, code, said in made.topic_errors:
                    if code not in (0, TOPIC_EXISTS):
                        raise Misconfigured(
                            f"Kafka at {self._where} does not make topic {name}: {said or f'error {code}'}; "
                            "LEAD_ROUTER_KAFKA_REPLICATION must not be more than there are brokers"
                        )
            await self._check(client, limit)
        finally:
            await discard(client.close)

    async def _check(self, client: Any, limit: float) -> None:
        end = time.monotonic() + 3 * limit
        while True:
            there = await bounded(client.describe_topics(list(self._topics)), limit, self._where)
            counts = {topic["topic"]: len(topic["partitions"]) for topic in there if not topic["error_code"]}
            led = all(place["leader"] >= 0 for topic in there for place in topic["partitions"])
            if led and counts.keys() == self._topics.keys():
                break
            if time.monotonic() > end:
                raise Unavailable(f"Kafka at {self._where}: its topics have no leaders yet", code="kafka_away")
            await asyncio.sleep(0.05)
        for name, count in counts.items():
            if count != self._settings.partitions:
                raise Misconfigured(
                    f"topic {name} has {count} partitions, LEAD_ROUTER_PARTITIONS says {self._settings.partitions}; set "
                    f"it to {count}: the number is part of the state and cannot be changed"
                )

    def _new(self, topic: Topic) -> Any:
        days = keep_days(topic, self._settings.log_retention_days)
        return NewTopic(
            name=topic.name,
            num_partitions=self._settings.partitions,
            replication_factor=self._settings.kafka_replication,
            topic_configs={
                "retention.ms": str(days * 86_400_000),
                "min.insync.replicas": str(self._settings.kafka_min_isr),
                "cleanup.policy": "delete",
            },
        )

    def _admin(self) -> Any:
        return AIOKafkaAdminClient(
            bootstrap_servers=self._where,
            client_id="lead-router",
            request_timeout_ms=int(self._settings.kafka_timeout_s * 1000),
        )

    def partitions(self, topic: str) -> int:
        """Number of partitions of `topic`."""
        if topic not in self._topics:
            raise BadMessage(f"there is no topic {topic}", code="unknown_topic")
        return self._settings.partitions

    def partition_of(self, topic: str, key: bytes) -> int:
        """Kafka's default: murmur2 of the key."""
        return partition_of(key, self.partitions(topic))

    def place(self, message: Message, part: int | None = None) -> int:
        """Where `message` goes: `part` if given, else by its key; without a key to partition 0."""
        count = self.partitions(message.topic)
        if part is None:
            return 0 if message.key is None else partition_of(message.key, count)
        if not 0 <= part < count:
            raise BadMessage(f"topic {message.topic} has no partition {part}", code="unknown_partition")
        return part

    def reader(self, topic: str, group: str) -> KafkaReader:
        """A reader of one topic; `group` is what lag tools see."""
        self.partitions(topic)
        made = KafkaReader(self._settings, topic, group)
        self._readers.append(made)
        return made

    def writer(self) -> KafkaWriter:
        """The writer of this process."""
        return self._writer

    def outbox(self, stage: str, lane: str, encode: Encode | None = None) -> Outbox:
        """The outbox of one writer, in the database."""
        made: Outbox | None = self._outboxes.get((stage, lane))
        if made is None:
            made = self._outboxes[stage, lane] = self._make_outbox(self._writer, stage, lane, encode)
        return made

    async def healthy(self) -> str | None:
        """None when a broker answers."""
        client = self._admin()
        try:
            await bounded(client.start(), self._settings.kafka_timeout_s, self._where)
            brokers = (await bounded(client.describe_cluster(), self._settings.kafka_timeout_s, self._where))["brokers"]
        except Unavailable as error:
            return error.message
        finally:
            await discard(client.close)
        return None if brokers else f"Kafka at {self._where} names no brokers"

    async def close(self) -> None:
        """Close everything, bounded in time."""
        for outbox in self._outboxes.values():
            await outbox.close()
        await asyncio.gather(*(reader.close() for reader in self._readers))
        self._readers.clear()
        await self._writer.close()
