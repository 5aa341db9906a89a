"""The log in Apache Kafka; the files `kafka*.py` are the only ones that speak to aiokafka.

Every call is bounded in time (aiokafka's are not: a sender or a stop may hang for ever), and every client is thrown away
and made anew after an error.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.codec import Message
from schemas.topics import FLOW, Topic
from services.eventlog.core.murmur2 import partition_of
from services.eventlog.core.retention import keep_days
from services.eventlog.kafka_calls import bounded, connection, discard, where
from services.eventlog.kafka_read import KafkaReader
from services.eventlog.kafka_write import KafkaWriter
from services.eventlog.ports import Encode, LogWriter, Outbox
from services.runtime.errors import BadMessage, Misconfigured, Unavailable
from services.runtime.settings import Settings

TOPIC_EXISTS: Final = 36


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
        self._where = where(settings)
        self._connection = connection(settings)
        self._make_outbox = outboxes
        self._topics = {topic.name: topic for topic in topics}
        self._writer = KafkaWriter(self.place, settings)
        self._readers: set[KafkaReader] = set()
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
        return AIOKafkaAdminClient(**self._connection)

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
        made = KafkaReader(self._settings, topic, group, self._readers.discard)
        self._readers.add(made)
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
        await asyncio.gather(*(reader.close() for reader in list(self._readers)))
        await self._writer.close()
