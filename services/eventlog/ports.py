"""The ports of the log: what a stage needs of it, whichever implementation stands behind.

Two implementations pass the same contract tests: `eventlog/kafka.py` and `eventlog/postgres.py`. A stage sees only
these names. Correctness never depends on who reads what: it depends on the fence (see `Fence`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import asyncpg
import msgspec

from schemas.codec import Message
from schemas.topics import StageName

W = TypeVar("W")
# A connection straight from asyncpg, or one that a pool has lent.
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it lies in the log. `at_ms` is the log's own time of the record, Unix milliseconds."""

    part: int
    offset: int
    key: bytes | None
    value: bytes | None
    at_ms: int


class Batch(msgspec.Struct, frozen=True):
    """Records of one poll, in offset order within each partition, and the lease under which they were read.

    Attributes:
        first: Partition to the lowest offset in the batch.
        next: Partition to the offset after the last one: the position once the batch is done.
        epochs: Partition to the lease epoch it was read under.
    """

    stage: StageName
    topic: str
    records: Sequence[Record]
    first: Mapping[int, int]
    next: Mapping[int, int]
    epochs: Mapping[int, int]


class DeadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that can never be handled. `reason` is a stable snake_case code, `detail` says it in words."""

    part: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None


class LogWriter(Protocol):
    """Writes records. `publish` returns when they are durable, else raises `Unavailable`."""

    async def publish(self, messages: Sequence[Message]) -> None: ...

    async def close(self) -> None: ...


class LogReader(Protocol):
    """Reads one topic from given positions; owns no position and commits none that matter."""

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset. Partitions kept keep what is already fetched."""
        ...

    async def poll(self, max_records: int, max_wait_s: float) -> Sequence[Record]:
        """What is there, at once; waits up to `max_wait_s` only when nothing is. Offsets rise within a partition."""
        ...

    async def bounds(self, parts: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """Partition to (first offset still there, next offset to be written)."""
        ...

    async def note(self, positions: Mapping[int, int]) -> None:
        """Tell outside lag tools how far we are. Best effort, never raises."""
        ...

    async def close(self) -> None: ...


class Outbox(Protocol):
    """Messages that leave if, and only if, the transaction commits.

    With the PostgreSQL log `stage` appends to the log itself, as the last statement of the transaction. With Kafka it
    writes one row of `log.outbox`, and `committed` publishes it. `stage` must be the last write of a transaction.
    """

    async def stage(self, pg: Connection, messages: Sequence[Message]) -> None: ...

    async def committed(self) -> None:
        """Call after the commit. Publishes what was staged (Kafka), in order; bounded, may leave it for later."""
        ...

    async def drain(self) -> None:
        """Publish what an earlier owner, or a crash, left behind. Call before reading."""
        ...


class Log(Protocol):
    """The log as a whole: makes readers, writers and outboxes."""

    async def ensure_topics(self) -> None:
        """Make the topics that are missing; check partition counts of those that are there."""
        ...

    def partitions(self, topic: str) -> int: ...

    def partition_of(self, topic: str, key: bytes) -> int:
        """Kafka's default: murmur2 of the key, the same for both logs."""
        ...

    def reader(self, topic: str, group: str) -> LogReader: ...

    def writer(self) -> LogWriter: ...

    def outbox(self, stage: str, lane: str) -> Outbox:
        """One outbox lane. A lane has one writer at a time: the owner of a lease."""
        ...

    async def healthy(self) -> str | None:
        """None when the log answers, else what is wrong in words."""
        ...

    async def close(self) -> None: ...


class BatchHandler(Protocol[W]):
    """A stage's handler, driven by `eventlog.consume.Consumer`.

    For batches N, N+1: `prepare(N+1)` may run while `apply(N)` is at work; `apply` runs strictly in order. When
    `apply` raises `Conflict`, the consumer calls `reset()`, prepares the batch again and applies it again.
    """

    async def prepare(self, batch: Batch) -> W:
        """Decode and read ahead. No writes."""
        ...

    async def apply(self, batch: Batch, work: W) -> None:
        """One transaction: `fence(pg, batch)` first, then state, dead letters and outgoing messages, then commit.

        Raises:
            Fenced: Another owner has the partition: nothing was written.
            Conflict: Something read ahead is stale: nothing was written, prepare again.
        """
        ...

    async def tick(self, epochs: Mapping[int, int]) -> None:
        """About once a second: timers of the owned partitions, under the same fence."""
        ...

    def reset(self) -> None:
        """Drop everything cached or read ahead."""
        ...

    def owned(self, parts: Sequence[int]) -> None:
        """The set of owned partitions has changed; drop what belongs to others."""
        ...


Crash = Callable[[str], None]
AnyHandler = BatchHandler[Any]
