"""Reads `lead.routed`: decode → load the inboxes → fold → save and wake the streams, one transaction a batch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from schemas.codec import routed_decoder
from schemas.messages import LeadRouted
from services.eventlog.deadletter import bury
from services.eventlog.fence import fence
from services.eventlog.ports import Batch, DeadRecord
from services.notify.core.greeting import greetings_of
from services.notify.core.message import apply, kind_of, needs, problem_of, reps_of
from services.notify.store import notices as store
from services.runtime.clock import Clock
from services.runtime.crash import reach, step
from services.runtime.db import Database
from services.runtime.telemetry import REGISTRY

log = structlog.get_logger(__name__)

AFTER_FENCE = step("notify.after_fence", "the position has moved, nothing else is written")
AFTER_HANDLED = step("notify.after_handled", "the messages are remembered, no notice is stored")
BEFORE_COMMIT = step("notify.before_commit", "everything is written, nothing is committed")
AFTER_COMMIT = step("notify.after_commit", "committed; the log does not know yet")

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
    """

    def __init__(self, *, db: Database, clock: Clock, collapse_s: float, handled_days: int) -> None:
        self._db = db
        self._clock = clock
        self._collapse_s = collapse_s
        self._handled_days = handled_days
        self._pruned_at = clock.monotonic()

    async def prepare(self, batch: Batch) -> Work:
        """Decode. Nothing is read ahead: what a batch touches is small and must be locked anyway."""
        return decoded(batch)

    async def apply(self, batch: Batch, work: Work) -> None:
        """One transaction: fence, dead letters, message ids, inboxes, notices, wake-up."""
        # The wall clock, not the record's time: whether news is still news is judged at the moment of sending.
        now = self._clock.now()
        async with self._db.transaction() as pg:
            await fence(pg, batch)
            reach(AFTER_FENCE)
            if work.dead:
                await bury(pg, batch.stage, batch.topic, work.dead)
            fresh = (
                await store.first_time(pg, [_remembered(m, now) for m in work.messages], now)
                if work.messages
                else set()
            )
            reach(AFTER_HANDLED)
            messages = [m for m in work.messages if m.id in fresh]
            desks = await store.load(pg, needs((m.data for m in messages), now), now, self._collapse_s)
            greetings = []
            for message in messages:
                apply(desks, message.id.hex, message.data, now, self._collapse_s)
                greetings += [(message.data.lead.id, g) for g in greetings_of(message.id.hex, message.data, now)]
            stored = await store.save(pg, desks.values(), greetings)
            erased = [m.data.lead.id for m in messages if m.data.kind == "erased"]
            if erased:
                await store.forget_greetings(pg, erased)
            reach(BEFORE_COMMIT)
        reach(AFTER_COMMIT)
        for notice in stored:
            NOTICES.labels(notice.kind, notice.state).inc()
        for message in work.messages:
            MESSAGES.labels(message.data.kind, "done" if message.id in fresh else "repeated").inc()

    async def tick(self, epochs: Mapping[int, int]) -> None:  # noqa: ARG002 pruning needs no partition
        """Now and then drop what is past its time."""
        if self._clock.monotonic() - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = self._clock.monotonic()
            await store.prune(self._db, self._clock.now(), self._handled_days)

    def reset(self) -> None:
        """Nothing is cached."""

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
