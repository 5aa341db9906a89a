"""The ports of the log: what a stage needs of it, whichever implementation stands behind.

Two implementations pass the same contract tests: `eventlog/kafka.py` and `eventlog/postgres.py`. A stage sees only
these names. Correctness never depends on who reads what: it depends on the fence (see `Fence`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import asyncpg
import msgspec

from schemas.codec import Message
from schemas.topics import StageName
from services.runtime.errors import Misconfigured

W = TypeVar("W")
# A connection straight from asyncpg, or one that a pool has lent.
Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
# Turns the bytes of an outbox row into messages: a pure function of the bytes, since another process may have to.
Encode = Callable[[bytes], Sequence[Message]]
AppendArguments = tuple[list[str], list[int], list[bytes | None], list[bytes | None]]
# A row that `log.put` returns: topic, partition, first offset written, time in Unix milliseconds.
Place = tuple[str, int, int, int]


class LogTruncated(Misconfigured):
    """A stored position lies outside the log: records are gone unread, or the topic was made anew. Ends the process."""

    default_code = "position_outside_log"


class StoppedLoudly(Misconfigured):
    """The stage stops rather than go on wrongly: too many dead letters in a row, or a batch that conflicts for ever."""

    default_code = "stopped"


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
    """Writes records."""

    async def publish(self, messages: Sequence[Message], part: int | None = None) -> None:
        """Returns when all of `messages` are durable. Calls that meet are sent together.

        Args:
            messages: Their order is kept within a partition.
            part: Put all of them there instead of where their keys belong (replay of a dead letter).

        Raises:
            Unavailable: The log is away; some of them may be in it all the same.
            BadMessage: One is too large (`message_too_large`) or its topic does not exist; nothing was sent.
        """
        ...

    async def close(self) -> None:
        """Safe to call twice."""
        ...


class LogReader(Protocol):
    """Reads one topic from given positions; owns no position and commits none that matter."""

    async def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset.

        A partition that already stands at the given offset keeps what was fetched ahead.
        """
        ...

    async def poll(self, max_records: int, max_wait_s: float) -> Sequence[Record]:
        """What is there, at once; waits up to `max_wait_s` only when nothing is. Offsets rise within a partition.

        Raises:
            Unavailable: The log is away; poll again later, nothing is skipped.
            LogTruncated: The next record is no longer there.
        """
        ...

    async def bounds(self, parts: Sequence[int]) -> Mapping[int, tuple[int, int]]:
        """Partition to (first offset still there, next offset to be written)."""
        ...

    def applied(self, positions: Mapping[int, int]) -> None:
        """All that was read up to `positions` is committed."""
        ...

    async def note(self, positions: Mapping[int, int]) -> None:
        """Tell outside lag tools how far we are. Best effort, never raises."""
        ...

    async def close(self) -> None:
        """Safe to call twice; bounded in time."""
        ...


class Staged(msgspec.Struct, frozen=True):
    """A row of the outbox that a transaction is about to write: hand it to `committed` after the commit.

    Attributes:
        lane: The lane's full name, for `log.outbox.lane`.
        seq: Its place in the lane, for `log.outbox.seq`.
        payload: For `log.outbox.payload`.
        published: Rows of this lane that are out already: delete them in the same transaction (`seq = ANY(…)`).
    """

    lane: str
    seq: int
    payload: bytes
    published: list[int]


class Outbox(Protocol):
    """Messages that leave if, and only if, the transaction commits.

    With the PostgreSQL log `stage` appends to the log itself, as the last statement of the transaction. With Kafka it
    writes one row of `log.outbox`, and `committed` publishes it. `stage` must be the last write of a transaction.

    A stage that writes its batch by one call of its own (scoring) does by hand what `stage_payload` does:
    `if outbox.direct`: encode and call `log.put` as the last statement (`append_arguments`, `appended`); else
    `row = outbox.next_row(payload)`, insert it into `log.outbox (stage, lane, seq, payload)` and delete
    `row.published`, both in its transaction. Then `await outbox.committed(row)`.

    Attributes:
        direct: True when messages go into the log itself (PostgreSQL), False when rows go into `log.outbox` (Kafka).
    """

    @property
    def direct(self) -> bool:
        """Whether messages go into the log itself within the transaction."""
        ...

    async def stage(self, pg: Connection, messages: Sequence[Message]) -> Staged | None:
        """Write `messages` in the transaction of `pg`; None when there is nothing to publish afterwards."""
        ...

    def append_arguments(self, messages: Sequence[Message]) -> AppendArguments:
        """The four arguments of `log.put` (topics, parts, keys, values). Only when `direct`."""
        ...

    def appended(self, arguments: AppendArguments, places: Iterable[Place]) -> Staged:
        """What `log.put` has done with `arguments`, by the rows that it returned. Only when `direct`."""
        ...

    async def stage_payload(self, pg: Connection, payload: bytes) -> Staged | None:
        """As `stage`, for an outbox with its own `encode`: the row holds `payload`, the messages are made of it later."""
        ...

    def next_row(self, payload: bytes) -> Staged:
        """The row that a transaction of the caller's own should write. Only when not `direct`."""
        ...

    async def committed(self, staged: Staged | None = None) -> None:
        """Call after the commit: publishes in order, in the background; waits only when too much is waiting.

        With the row it is published from memory; without one the lane is read from the table, so a row of a
        transaction that rolled back never leaves. Wakes the readers of the PostgreSQL log.
        """
        ...

    def rolled_back(self, staged: Staged) -> None:
        """The transaction of `staged` is undone. Never needed: it spares reading the table for a while."""
        ...

    async def drain(self, gone: Sequence[str] = ()) -> None:
        """Publish what an earlier owner, or a crash, left behind. Call before reading.

        Args:
            gone: Owners whose partitions we have just taken: their lanes are emptied even if they seem to live.

        Raises:
            Unavailable: The log or the database is away.
        """
        ...

    async def flush(self, seconds: float) -> bool:
        """Wait until all that was committed is published, at most `seconds`; False when some is left in the table."""
        ...

    async def waiting(self) -> int:
        """Rows of this stage and lane in the table, all processes together."""
        ...


class Log(Protocol):
    """The log as a whole: makes readers, writers and outboxes."""

    @property
    def owner(self) -> str:
        """The name of this process: owner of leases and outbox lanes. New at every start."""
        ...

    async def ensure_topics(self) -> None:
        """Make the topics that are missing; check partition counts of those that are there. Starts housekeeping.

        Raises:
            Misconfigured: A topic has another number of partitions.
            Unavailable: The log does not answer.
        """
        ...

    def partitions(self, topic: str) -> int:
        """Number of partitions of `topic`."""
        ...

    def partition_of(self, topic: str, key: bytes) -> int:
        """Kafka's default: murmur2 of the key, the same for both logs."""
        ...

    def reader(self, topic: str, group: str) -> LogReader:
        """A reader of one topic. `group` is what outside lag tools see."""
        ...

    def writer(self) -> LogWriter:
        """The writer of this process, shared by all who ask; closed with the log."""
        ...

    def outbox(self, stage: str, lane: str, encode: Encode | None = None) -> Outbox:
        """The outbox of one writer. The same stage and lane give the same object.

        Args:
            stage: Who writes.
            lane: What for (`batch`, `api`, `spool`). The lane in the table is `lane@owner`: every process has its own,
                and the lanes of a process that is gone are emptied by another with the same stage, lane and `encode`.
            encode: Makes messages of a payload; default: the packing that `stage` writes.
        """
        ...

    async def healthy(self) -> str | None:
        """None when the log answers, else what is wrong in words."""
        ...

    async def close(self) -> None:
        """Close readers, writers and outboxes; bounded in time, safe to call twice."""
        ...


class BatchHandler(Protocol[W]):
    """A stage's handler, driven by `eventlog.consume.Consumer`.

    For batches N, N+1: `prepare(N+1)` may run while `apply(N)` is at work; `apply` runs strictly in order. A consumer of
    `depth` 2 also begins `prepare(N+2)` while `prepare(N+1)` runs, in this order, and then the handler itself sees to it
    that N+2 builds upon N+1. When either raises `Conflict`, the consumer ends what else is prepared, calls `reset()`,
    prepares the batch again, and afterwards those behind it.
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
        """About once a second: timers of the owned partitions, under the same fence (`fence_epochs`).

        Never at the same time as `apply`; may raise the same errors.
        """
        ...

    def reset(self) -> None:
        """Drop everything cached or read ahead."""
        ...

    def owned(self, parts: Sequence[int]) -> None:
        """The set of owned partitions has changed; drop what belongs to others."""
        ...


Crash = Callable[[str], None]
AnyHandler = BatchHandler[Any]
