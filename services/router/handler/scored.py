"""From a batch of `lead.scored` to decisions: decode, look, take in, decide, give away, write and send on."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import asyncpg
import msgspec

from schemas.codec import scored_decoder
from schemas.messages import Cause, LeadScored
from schemas.topics import LEAD_SCORED
from services.directory.core.match import DirectoryView
from services.eventlog.caution import Caution
from services.eventlog.deadletter import bury
from services.eventlog.fence import fence, fence_arguments, fence_epochs, translate
from services.eventlog.ports import Batch, Connection, DeadRecord, Outbox, Staged
from services.policy.core.policy import Policy
from services.router.commands import metrics
from services.router.commands.commit import commit, parcel
from services.router.commands.desk import Desk
from services.router.handler.flight import Decision, Flights, Work
from services.router.handler.intake import Intake, Scored, leads_of
from services.router.handler.timers import TimerRun
from services.router.store.left import Left, NotYet
from services.router.store.timers import due_timers, timers_of
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import Conflict

STAGE: Final = "router"
TIMERS_MAX: Final = 500
RECORDS_A_TURN: Final = 256  # between two turns of the loop
TICK_ROUNDS: Final = 20  # the loop has records to read as well
ID_CHARS: Final = 32
ID: Final = re.compile(f"[0-9a-f]{{{ID_CHARS}}}")
LOOKED: Final = crash.step("router.looked", "the leads are read, nothing is decided")
COMMITTED: Final = crash.step("router.committed", "committed, nothing published yet (Kafka)")


class PolicyDoor(Protocol):
    """What the router needs of the policy cache."""

    @property
    def active(self) -> Policy:
        """The policy in force."""
        ...

    async def at_least(self, version: int) -> object:
        """Wait until the active version is at least this one."""
        ...


class RouterHandler:
    """The router's `BatchHandler`.

    Args:
        view: The directory as it is now.
        part_of: Lead id to its partition of `lead.scored`.
    """

    def __init__(
        self,
        *,
        db: Database,
        outbox: Outbox,
        policies: PolicyDoor,
        view: Callable[[], DirectoryView],
        part_of: Callable[[str], int],
        clock: Clock,
    ) -> None:
        self._db = db
        self._outbox = outbox
        self._policies = policies
        self._view = view
        self._part_of = part_of
        self._clock = clock
        self._caution = Caution()
        self._flights = Flights()

    async def prepare(self, batch: Batch) -> Work:
        """Decode, look and decide, while the batch before may still be written: nothing is locked, nothing is written.

        What cannot be decoded is a dead letter; its neighbours go on.
        """
        generation = self._flights.generation
        work = Work(*await self._decode(batch))
        newest = max((one.message.policy_version for one in work.scored), default=0)
        if newest > self._policies.active.version:
            await self._policies.at_least(newest)
        upon = await self._flights.ahead()
        if upon is not None and not self._caution.wary and not work.dead:
            async with self._db.raw() as pg:
                with contextlib.suppress(NotYet):
                    work.decision = await self._decide(pg, work, upon)
                    work.upon = upon
        self._flights.take_off(work, generation)
        return work

    async def _decode(self, batch: Batch) -> tuple[list[Scored], list[DeadRecord]]:
        scored: list[Scored] = []
        dead: list[DeadRecord] = []
        for number, record in enumerate(batch.records, 1):
            if number % RECORDS_A_TURN == 0:
                await asyncio.sleep(0)
            try:
                event = scored_decoder.decode(record.value or b"")
                check(event.data)
            except (msgspec.DecodeError, ValueError) as error:
                detail = f"not a message of lead.scored: {error}"
                dead.append(
                    DeadRecord(
                        part=record.part,
                        offset=record.offset,
                        reason="bad_message",
                        detail=detail,
                        key=record.key,
                        value=record.value,
                    )
                )
                continue
            scored.append(Scored(event.data, event.time, record.part))
        return scored, dead

    async def apply(self, batch: Batch, work: Work) -> None:
        """Write what was decided ahead; decide now what was not, or does not hold any more. See `Desk` for how it locks."""
        began = self._clock.monotonic()
        self._flights.begin(work)
        try:
            desk, staged = await self._write(batch, work)
        except BaseException:
            self._flights.crash(work)
            raise
        crash.reach(COMMITTED)
        self._caution.done()
        self._flights.land(work)
        desk.committed()
        metrics.DECIDE_SECONDS.labels("batch").observe(self._clock.monotonic() - began)
        self._observe(work)
        await self._outbox.committed(staged)

    async def _write(self, batch: Batch, work: Work) -> tuple[Desk, Staged | None]:
        decision = work.holds if not self._caution.wary else None
        if decision is None and work.decision is not None:
            self._flights.drop()  # it will be decided otherwise, perhaps
        async with self._db.raw() as pg:
            if self._caution.wary or work.dead:
                async with pg.transaction():
                    await fence(pg, batch)
                    await bury(pg, STAGE, batch.topic, work.dead)
                    decision = await self._decide(pg, work, hold=True)
                    return decision.desk, await commit(pg, self._outbox, decision.parcel)
            if decision is None:
                decision = await self._decide(pg, work)
            try:
                return decision.desk, await commit(pg, self._outbox, decision.parcel, fence_arguments(batch))
            except asyncpg.PostgresError as error:
                known = translate(error)
                if isinstance(known, Conflict):
                    self._caution.conflict()
                else:
                    self._caution.doubt()
                raise known from error

    async def _decide(self, pg: Connection, work: Work, upon: Sequence[Work] = (), *, hold: bool = False) -> Decision:
        policy = self._policies.active
        left = [before.left for before in upon if before.left is not None]
        desk = self._desk(pg, policy, hold=hold, left=left)
        causes = causes_of(work.scored)
        seen = await desk.look(leads_of(work.scored), causes)
        crash.reach(LOOKED)
        new = {(cause.event_id, cause.reversed): lead for cause, lead in causes}
        for known in seen:
            del new[known]
        intake = Intake(desk, policy, new)
        await intake.take(work.scored)
        write, messages = await desk.finish(causes=[(*key, lead) for key, lead in new.items()], erased=intake.erased)
        ready = await parcel(self._outbox, write, messages)
        return Decision(desk, ready, Left(write) if not intake.erased else None)

    async def tick(self, epochs: Mapping[int, int]) -> None:
        """Timers that have come due, in transactions of at most `TIMERS_MAX`; one of each lead in a transaction."""
        if not epochs:
            return
        for _ in range(TICK_ROUNDS):
            now = self._clock.now()
            async with self._db.raw() as pg:
                timers = await due_timers(pg, list(epochs), now, TIMERS_MAX)
            if not timers:
                return
            await self._run_timers(epochs, sorted({timer.lead_id for timer in timers}))

    async def _run_timers(self, epochs: Mapping[int, int], lead_ids: Sequence[str]) -> None:
        began = self._clock.monotonic()
        async with self._db.transaction() as pg:
            await fence_epochs(pg, STAGE, LEAD_SCORED.name, epochs)
            policy = self._policies.active
            desk = self._desk(pg, policy, hold=True)
            await desk.look(lead_ids)
            timers = await timers_of(pg, lead_ids, self._clock.now())
            TimerRun(desk, policy, self._view()).take(timers)
            staged = await commit(pg, self._outbox, await parcel(self._outbox, *await desk.finish()))
        self._flights.drop()
        desk.committed()
        metrics.DECIDE_SECONDS.labels("timers").observe(self._clock.monotonic() - began)
        await self._outbox.committed(staged)

    def reset(self) -> None:
        """Nothing decided ahead holds; and whoever was there in between may come again."""
        self._caution.doubt()
        self._flights.clear()

    def owned(self, parts: Sequence[int]) -> None:
        """Nothing is kept by partition."""

    def _desk(self, pg: Connection, policy: Policy, *, hold: bool, left: Sequence[Left] = ()) -> Desk:
        now = self._clock.now()
        return Desk(pg, policy, self._view(), hold=hold, part_of=self._part_of, wall=now, left=left)

    def _observe(self, work: Work) -> None:
        now = self._clock.now()
        for one in work.scored:
            if one.message.causes:
                received = max([cause.received_at for cause in one.message.causes])
                metrics.EVENT_TO_ROUTED.observe(max(0.0, (now - received).total_seconds()))


def causes_of(scored: Sequence[Scored]) -> list[tuple[Cause, str]]:
    """Every event of a batch with its lead."""
    return [(cause, one.message.lead_id) for one in scored for cause in one.message.causes]


def check(message: LeadScored) -> None:
    """Refuse what decodes but cannot be stored.

    Raises:
        ValueError: An id is not 32 hex characters, or a time has no zone.
    """
    ids = [message.lead_id, *message.merged_from, *[cause.event_id for cause in message.causes]]
    if message.merged_into is not None:
        ids.append(message.merged_into)
    for one in ids:
        if ID.fullmatch(one) is None:
            msg = f"{one[:40]!r} is not an id of {ID_CHARS} hex characters"
            raise ValueError(msg)
    times = [message.as_of, *[c.occurred_at for c in message.causes], *[c.received_at for c in message.causes]]
    if None in [at.tzinfo for at in times]:
        msg = "a time has no zone"
        raise ValueError(msg)
