"""Writing to Kafka: whole batches, acknowledged by all replicas in sync, one round at a time.

Idempotent within the life of a client; around an error a record may be written twice, and readers expect that.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from schemas.codec import Message
from services.eventlog import metrics
from services.eventlog.gather import Gather, Item, size_of
from services.eventlog.kafka_calls import METADATA_MAX_AGE_MS, bounded, connection, discard, where
from services.runtime.errors import BadMessage, LeadRouterError
from services.runtime.settings import Settings

# A batch must fit in the topic's max.message.bytes, which is 1 MiB + 12 unless somebody changed it.
BATCH_BYTES: Final = 1_000_000
# Key, value, lengths and times of one record must fit in a batch.
MESSAGE_BYTES: Final = BATCH_BYTES - 1_000


class KafkaWriter:
    """Writes by whole batches, one round at a time, through a client made anew after an error.

    Args:
        place: The partition of a message; the second argument is one that the caller names.
    """

    def __init__(self, place: Callable[[Message, int | None], int], settings: Settings) -> None:
        self._place = place
        self._where = where(settings)
        self._connection = connection(settings)
        self._timeout_s = settings.kafka_timeout_s
        self._client: Any = None
        self._gather = Gather(self._send)

    async def publish(self, messages: Sequence[Message], part: int | None = None) -> None:
        """Returns when all of `messages` are acknowledged by all replicas in sync."""
        sizes = [len(message.key or b"") + len(message.value or b"") for message in messages]
        if sizes and max(sizes) > MESSAGE_BYTES:
            large = next(message for message in messages if size_of(message) > MESSAGE_BYTES)
            raise BadMessage(
                f"a message for {large.topic} has {size_of(large)} bytes, the log takes {MESSAGE_BYTES}",
                code="message_too_large",
            )
        if messages:
            await self._gather.put([(message, self._place(message, part)) for message in messages])

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
                **self._connection,
                acks="all",
                enable_idempotence=True,
                max_batch_size=BATCH_BYTES,
                linger_ms=0,
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
