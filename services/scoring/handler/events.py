"""One batch of `tracking.events`: read ahead and folded in `prepare`, written in one round trip in `apply`.

While batch N commits, N+1 is folded and N+2 decoded and looked up. What batches changed that a look-up could not see yet
stays in memory (`Cache`) until it is visible. Anything that turns out stale raises `Conflict`: all is dropped and read
again, so the database alone is the truth.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from schemas.codec import Message
from services.directory.store import DirectoryCache
from services.eventlog.deadletter import bury
from services.eventlog.fence import fence_arguments
from services.eventlog.ports import Batch, DeadRecord, Outbox, Staged
from services.policy.cache import PolicyCache
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import Conflict
from services.runtime.settings import Settings
from services.scoring.core import fold as folding
from services.scoring.core import material
from services.scoring.core.companies import Companies
from services.scoring.core.counting import Counting
from services.scoring.core.emit import CauseIn, EmitIn, framed, pack
from services.scoring.core.fold import Fold, Folded
from services.scoring.core.identity import Names
from services.scoring.core.link import Ties
from services.scoring.core.read import DAY_MS, Dead, Event, millis, read
from services.scoring.core.snapshot import Telling
from services.scoring.handler.asked import Asked, Named
from services.scoring.handler.cache import Cache
from services.scoring.handler.forget import Elsewhere, Forgotten
from services.scoring.handler.visits import just_now
from services.scoring.store import erase, keep, probe, write
from services.scoring.store.connection import Line
from services.scoring.store.metrics import Meters

log = structlog.get_logger(__name__)

ROWS_A_TURN: Final = 256  # rows between two turns of the loop: PostgreSQL's answer must not wait for us
HOUSEKEEPING_S: Final = 3600.0
COLLECT_AFTER_S: Final = 1.0  # idle for so long: time to collect garbage
COLLECT_BUSY_S: Final = 60.0  # never idle: what is young is collected so often
LARGEST: Final = 4  # a record may be so many times `event_max_bytes`

APPLIED: Final = crash.step("scoring.applied", "the batch is written, not committed")
STAGED: Final = crash.step("scoring.staged", "outgoing messages are written, not committed")
COMMITTED: Final = crash.step("scoring.committed", "the batch is committed, nothing is published")


class Work:
    """A batch ready to be written."""

    __slots__ = ("body", "cache", "dead", "deletions", "done", "emits", "input", "segment", "seq", "ties")

    def __init__(
        self,
        seq: int,
        cache: Cache,
        *,
        dead: list[DeadRecord],
        done: Folded,
        ties: Ties,
        emits: list[EmitIn],
        erasures: int,
    ) -> None:
        self.seq = seq
        self.cache = cache
        self.dead = dead
        self.done = done
        self.ties = ties
        self.emits = emits
        self.deletions = done.deletions
        self.input = pack(emits)
        self.body, raw = write.body_arguments(done, ties, emits, erasures)
        self.segment = _compressed(raw)


class ScoringHandler:
    """The stage's `BatchHandler`.

    Args:
        outbox: Made with `encode=handler.encode`, or set before the first batch.
        relay, trap: As in the fold's settings.
        elsewhere: Forgets the same person where other rooms keep something of theirs, in the same transaction.
    """

    def __init__(
        self,
        *,
        db: Database,
        settings: Settings,
        policies: PolicyCache,
        directory: DirectoryCache,
        clock: Clock,
        meters: Meters,
        relay: Callable[[str], bool] | None = None,
        trap: Callable[[str], bool] | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._relay, self._trap = relay, trap
        self._db = db
        self._settings = settings
        self._policies = policies
        self._directory = directory
        self._clock = clock
        self._meters = meters
        self._writing = Line(db)
        self._looking, self._looking_again = Line(db), Line(db)
        self._names = Names()
        self._cache = Cache()
        self._companies = Companies(directory.view)
        # Made at the first use: at the first start of all there is no policy yet when the stages are built.
        self._counting: Counting | None = None
        self._telling: Telling | None = None
        self._seq = 0
        self._done_seq = 0
        self._reading_turn, self._folding_turn = asyncio.Lock(), asyncio.Lock()
        self._forgotten = Forgotten(elsewhere)
        self._kept_at = float("-inf")
        self._busy_at = 0.0
        self._collected = True
        self._collected_at = clock.monotonic()
        self._bounds = keep.bounds(millis(clock.now()), settings.dedupe_days)
        self.outbox: Outbox | None = None

    # -- the doors of a BatchHandler

    async def prepare(self, batch: Batch) -> Work:
        """Decode, look up, fold, and freeze what is to be written. Batches pass each of the two turns in their order."""
        async with self._reading_turn:
            asked = await self._read(batch)
        async with self._folding_turn:
            cache, events, seq = asked.cache, asked.events, asked.seq
            if cache is not self._cache:
                raise Conflict("looked up for what was dropped meanwhile")
            found = await asked.completed(self._looking_again)
            began = self._clock.monotonic()
            links, leads = asked.identities()
            recent = await just_now(self._looking_again, cache, events, links, self._names)
            for key, profile in found.profiles.items():
                if key not in cache.profiles:
                    profile.used = seq
                    cache.profiles[key] = profile
            self._policy_and_companies()
            ties = Ties(links, leads, seq, self._companies.of_email, self._forgotten.apart)
            done, emits = await self._fold(cache, found.known, events, ties, seq, recent)
            work = Work(seq, cache, dead=asked.dead, done=done, ties=ties, emits=emits, erasures=asked.erasures)
            cache.touched.append((seq, [*done.profiles, *found.profiles]))
            self._remember(cache, found.known, done, ties, seq)
            self._meters.fold_seconds.observe(self._clock.monotonic() - began)
            return work

    async def apply(self, batch: Batch, work: Work) -> None:
        """Write the batch; see the module's docstring."""
        if work.cache is not self._cache:
            raise Conflict("folded on what was dropped meanwhile")
        outbox = self.outbox
        if outbox is None:
            raise TypeError("the handler has no outbox")
        segment = await work.segment
        began = self._clock.monotonic()
        fence = fence_arguments(batch)
        staged: Staged | None = None
        async with self._writing.use() as pg:
            if work.dead or work.deletions or (work.emits and outbox.direct):
                staged = await self._in_steps(pg, batch, work, segment, outbox, fence)
            elif work.emits:
                row = outbox.next_row(work.input)
                told = await pg.fetchrow(
                    write.APPLY,
                    *write.arguments(
                        fence, (batch.stage, row.lane, row.seq, work.input, row.published), work.body, segment
                    ),
                )
                payload = framed(work.input, told["heads"], told["members"])
                staged = Staged(row.lane, row.seq, payload, row.published)
            else:
                await pg.fetchrow(write.APPLY, *write.arguments(fence, write.NO_ROW, work.body, segment))
        crash.reach(COMMITTED)
        self._done_seq = work.seq
        self._meters.batch(work.done, work.ties, work.emits, len(work.dead), len(self._cache.profiles))
        if work.deletions:
            self._meters.erased.inc(len(work.deletions))
            self.reset()  # whatever is folded already may hold the person
        self._meters.commit_seconds.observe(self._clock.monotonic() - began)
        if work.emits or work.deletions:
            await outbox.committed(staged)

    async def tick(self, epochs: Mapping[int, int]) -> None:  # noqa: ARG002 no timers of partitions here
        """Housekeeping once an hour; garbage when idle."""
        now = self._clock.monotonic()
        if now - self._kept_at >= HOUSEKEEPING_S:
            self._kept_at = now
            await self.keep_partitions()
            await keep.keep_house(self._db, millis(self._clock.now()), self._settings.dedupe_days)
        if not self._collected and now - self._busy_at >= COLLECT_AFTER_S:
            self._collected, self._collected_at = True, now
            gc.collect()
        elif now - self._collected_at >= COLLECT_BUSY_S:
            self._collected_at = now
            gc.collect(1)

    def reset(self) -> None:
        """Drop everything cached or read ahead."""
        self._cache = Cache()
        self._forgotten.changed()

    def owned(self, parts: Sequence[int]) -> None:  # noqa: ARG002 versions and shapes guard whatever stays cached
        """Another set of partitions: begin with an empty cache."""
        self.reset()

    def suppressed_changed(self, _payload: str) -> None:
        """Somebody asked to be forgotten: read the list again before the next batch."""
        self._forgotten.changed()

    async def keep_partitions(self) -> None:
        """Partitions for the events of now; call before the first batch."""
        now_ms = millis(self._clock.now())
        await keep.keep_partitions(self._db, now_ms, self._settings.dedupe_days)
        self._bounds = keep.bounds(now_ms, self._settings.dedupe_days)

    async def close(self) -> None:
        """Close the connections."""
        await self._writing.close()
        await self._looking.close()
        await self._looking_again.close()

    def encode(self, payload: bytes) -> list[Message]:
        """The messages of an outbox row, under the policy and directory of now."""
        policy, view = self._policies.active, self._directory.view
        telling = self._telling
        if telling is None or policy is not telling.policy or view is not telling.view:
            telling = self._telling = Telling(policy, view)
        return telling.messages(payload)

    # -- prepare

    async def _decode(self, batch: Batch) -> tuple[list[Event], list[DeadRecord]]:
        events: list[Event] = []
        dead: list[DeadRecord] = []
        names, largest = self._names, LARGEST * self._settings.event_max_bytes
        for number, record in enumerate(batch.records, 1):
            event = read(record.value, record.at_ms, names, largest)
            if type(event) is Event:
                events.append(event)
            elif isinstance(event, Dead):
                dead.append(
                    DeadRecord(
                        part=record.part, offset=record.offset, reason=event.reason, detail=event.detail, key=record.key,
                        value=record.value,
                    )
                )  # fmt: skip
            if number % ROWS_A_TURN == 0:
                await asyncio.sleep(0)
        return events, dead

    async def _read(self, batch: Batch) -> Asked:
        """Decode, and ask the database for what is not held. The batches before may not be folded yet."""
        cache = self._cache
        self._seq += 1
        seq = self._seq
        self._busy_at, self._collected = self._clock.monotonic(), False
        await self._forgotten.refresh(self._looking)
        erasures = self._forgotten.erasures
        if cache.erasures != erasures:
            cache.erasures = erasures
            cache.unsettle()
        events, dead = await self._decode(batch)
        named = Named.of(events, cache, self._bounds)
        visible = self._done_seq
        found = await named.look_up(self._looking)
        return Asked(cache, seq, visible, erasures, events, dead, named, found)

    def _policy_and_companies(self) -> None:
        view = self._directory.view
        if view is not self._companies.view:
            self._companies = Companies(view)

    async def _fold(  # noqa: PLR0917 what a batch is made of
        self,
        cache: Cache,
        known: set[bytes],
        events: list[Event],
        ties: Ties,
        seq: int,
        recent: Mapping[bytes, Sequence[CauseIn]],
    ) -> tuple[Folded, list[EmitIn]]:
        counting = self._counting
        if counting is None or self._policies.active is not counting.policy:
            counting = self._counting = Counting(self._policies.active)
        self._forgotten.expect(events)
        cache.recent |= known
        fold = Fold(
            counting=counting,
            settings=folding.Settings(self._settings.dedupe_days * DAY_MS, *self._bounds, self._relay, self._trap),
            profiles=cache.profiles,
            ties=ties,
            seq=seq,
            seen=cache.recent.__contains__,
            suppressed=self._forgotten.holds if self._forgotten.count else None,
            companies=self._companies,
        )
        for start in range(0, len(events), ROWS_A_TURN):
            fold.take(events[start : start + ROWS_A_TURN])
            await asyncio.sleep(0)
        emits = material.told(fold.done, ties, counting.step, recent)
        material.settle(emits, fold.done, ties)
        return fold.done, emits

    @staticmethod
    def _remember(cache: Cache, known: set[bytes], done: Folded, ties: Ties, seq: int) -> None:
        changes = ties.changes
        for key in (*changes.linked, *changes.moved, *(key for key, _, _ in changes.turned)):
            cache.links[key] = ties.links[key]
        for id_ in (*changes.created, *changes.touched):
            cache.leads[id_] = ties.leads[id_]
        cache.note({*done.rows, *done.side, *known})
        cache.unnamed.append(done.unnamed)
        cache.forget(seq)

    # -- apply, when one call is not enough

    async def _in_steps(  # noqa: PLR0917 what `apply` has at hand
        self, pg: Any, batch: Batch, work: Work, segment: bytes, outbox: Outbox, fence: Any
    ) -> Staged | None:
        """The same writes in an open transaction: dead letters, erasures, or a log that lies in this database."""
        async with pg.transaction():
            if work.deletions:
                await erase.alone(pg)
            told = await pg.fetchrow(write.APPLY, *write.arguments(fence, write.NO_ROW, work.body, segment))
            crash.reach(APPLIED)
            if work.dead:
                await bury(pg, batch.stage, batch.topic, work.dead)
            heads, members = (told["heads"], told["members"]) if told is not None else (b"", b"")
            emits = work.emits
            for event in work.deletions:
                for emit, head in await self._forgotten.erase(pg, event):
                    emits = [emit, *(one for one in emits if one.lead != emit.lead)]
                    heads += head
            staged = await outbox.stage_payload(pg, framed(pack(emits), heads, members)) if emits else None
            crash.reach(STAGED)
        return staged


def _compressed(raw: list[bytes]) -> Awaitable[bytes]:
    """The segment's body; a large one is compressed beside the loop, on another core."""
    loop = asyncio.get_running_loop()
    if len(raw) >= ROWS_A_TURN:
        return loop.run_in_executor(None, probe.packed_bodies, raw)
    made = loop.create_future()
    made.set_result(probe.packed_bodies(raw) if raw else b"")
    return made
