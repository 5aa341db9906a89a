"""Reads `lead.routed`: decode → look at the inboxes → fold → write and wake the streams. Two round trips a batch.

Nothing is locked between looking and writing: the write holds only if every inbox still stands where it was read, and is
a `Conflict` otherwise. The try after one locks first, so it cannot lose again.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

import asyncpg
import msgspec
import structlog
from prometheus_client import Counter

from schemas.codec import routed_decoder
from schemas.messages import LeadRouted
from services.eventlog.caution import Caution
from services.eventlog.deadletter import bury
from services.eventlog.fence import fence, fence_arguments, translate
from services.eventlog.ports import Batch, Connection, DeadRecord
from services.notify.core.greeting import Greeting, greetings_of
from services.notify.core.message import apply, kind_of, needs, problem_of, reps_of
from services.notify.store import batch as store
from services.notify.store.notices import Row, prune
from services.runtime.clock import Clock
from services.runtime.crash import reach, step
from services.runtime.db import Database
from services.runtime.errors import Conflict
from services.runtime.telemetry import REGISTRY

log = structlog.get_logger(__name__)

LOOKED = step("notify.looked", "what may change is read, nothing is written")
WRITTEN = step("notify.written", "committed, and on the streams of this process; the log does not know yet")

PRUNE_EVERY_S = 60.0

NOTICES = Counter("leadrouter_notices_total", "Notices stored or changed", ["kind", "state"], registry=REGISTRY)
MESSAGES = Counter(
    "leadrouter_notify_messages_total", "Routed messages by kind and outcome", ["kind", "outcome"], registry=REGISTRY
)


class Routed(msgspec.Struct, frozen=True):
    """One decoded message. `id` is unique to source and message id."""

    id: UUID
    data: LeadRouted


class Work(msgspec.Struct, frozen=True):
    """A decoded batch."""

    messages: Sequence[Routed]
    dead: Sequence[DeadRecord]


def decoded(batch: Batch) -> Work:
    """The batch's messages, each id once, and the records that can never be read."""
    messages: dict[UUID, Routed] = {}
    dead: list[DeadRecord] = []
    for record in batch.records:
        try:
            event = routed_decoder.decode(record.value or b"")
            problem = problem_of(event.data)
        except msgspec.MsgspecError as error:
            problem, event = str(error), None
        if event is None or problem is not None:
            dead.append(
                DeadRecord(
                    part=record.part,
                    offset=record.offset,
                    reason="undecodable" if event is None else "invalid",
                    detail=problem or "",
                    key=record.key,
                    value=record.value,
                )
            )
            continue
        digest = UUID(bytes=blake2b(f"{event.source}\0{event.id}".encode(), digest_size=16).digest())
        messages.setdefault(digest, Routed(digest, event.data))
    return Work(tuple(messages.values()), tuple(dead))


class NotifyHandler:
    """The stage's handler: makes and changes notices, effect once.

    Args:
        collapse_s: Seconds in which alerts of one kind and account join.
        handled_days: How long message ids are remembered: longer than the log keeps records.
        telling: Around the write of rows: the streams of this process get them at once, those of others hear of them from
            PostgreSQL.
    """

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        collapse_s: float,
        handled_days: int,
        telling: Callable[[Sequence[Row]], AbstractContextManager[None]] = lambda _rows: nullcontext(),
    ) -> None:
        self._db = db
        self._clock = clock
        self._collapse_s = collapse_s
        self._handled_days = handled_days
        self._telling = telling
        self._caution = Caution()
        self._pruned_at = clock.monotonic()

    async def prepare(self, batch: Batch) -> Work:
        """Decode. Nothing is read ahead: what a batch touches is small, and most of it the batch before may change."""
        return decoded(batch)

    async def apply(self, batch: Batch, work: Work) -> None:
        """Look and write; see the module's docstring."""
        # The wall clock, not the record's time: whether news is still news is judged at the moment of sending.
        now = self._clock.now()
        async with self._db.raw() as pg:
            if self._caution.wary or work.dead:
                with ExitStack() as told:
                    async with pg.transaction():
                        await fence(pg, batch)
                        await bury(pg, batch.stage, batch.topic, work.dead)
                        fresh, one = await self._plan(pg, work, now, hold=True)
                        told.enter_context(self._telling(one.rows))
                        await store.write(pg, None, one)
            else:
                fresh, one = await self._plan(pg, work, now, hold=False)
                try:
                    with self._telling(one.rows):
                        await store.write(pg, fence_arguments(batch), one)
                except asyncpg.PostgresError as error:
                    known = translate(error)
                    if isinstance(known, Conflict):
                        self._caution.conflict()
                    raise known from error
        reach(WRITTEN)
        self._caution.done()
        for notice in one.notices:
            NOTICES.labels(notice.kind, notice.state).inc()
        done = {message.id for message in fresh}
        for message in work.messages:
            MESSAGES.labels(message.data.kind, "done" if message.id in done else "repeated").inc()

    async def _plan(
        self, pg: Connection, work: Work, now: datetime, *, hold: bool
    ) -> tuple[Sequence[Routed], store.Write]:
        """Look and fold; `hold` keeps the inboxes locked until the transaction ends."""
        wanted = needs((m.data for m in work.messages), now)
        seen = await store.look(pg, [m.id for m in work.messages], wanted, now, self._collapse_s, hold=hold)
        reach(LOOKED)
        fresh = [m for m in work.messages if m.id not in seen.known]
        greetings: list[tuple[str, Greeting]] = []
        for message in fresh:
            apply(seen.desks, message.id.hex, message.data, now, self._collapse_s)
            greetings += [(message.data.lead.id, g) for g in greetings_of(message.id.hex, message.data, now)]
        erased = [m.data.lead.id for m in fresh if m.data.kind == "erased"]
        return fresh, store.write_of(seen, [_remembered(m, now) for m in fresh], greetings, erased, now)

    async def tick(self, epochs: Mapping[int, int]) -> None:  # noqa: ARG002 pruning needs no partition
        """Now and then drop what is past its time."""
        if self._clock.monotonic() - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = self._clock.monotonic()
            await prune(self._db, self._clock.now(), self._handled_days)

    def reset(self) -> None:
        """Nothing is cached; but whoever writes these inboxes as well may do so again."""
        self._caution.doubt()

    def owned(self, parts: Sequence[int]) -> None:
        """Nothing is kept by partition."""


def _remembered(message: Routed, now: datetime) -> store.Handled:
    data = message.data
    told = len(reps_of(data))
    return store.Handled(
        message_id=message.id,
        kind=kind_of(data, now) if told else data.kind,
        notices=told,
        occurred_at=data.timing.occurred_at,
        received_at=data.timing.received_at,
        routed_at=data.timing.routed_at,
    )
