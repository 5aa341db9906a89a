"""What reaches leads that nothing happens to: a changed account, and a policy that is put to every lead.

A sweep goes through all leads in the order of their ids, a bounded step at a time, and tells those anew that the change
may concern: the same message as after an event, without causes, so that nobody is alerted. Whoever owns partition 0 of
the events does it, under the fence; how far it is stands in `scoring.sweep`, so that another owner goes on from there.

Its messages leave by a lane of its own. With Kafka a message of the batches may overtake one of the sweep, or the other
way round: readers take the newer version of a lead, and what they skip was older.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import structlog

from schemas.codec import Message
from services.directory import changes
from services.directory.store import DirectoryCache
from services.eventlog.fence import fence_epochs, translate
from services.eventlog.ports import Outbox
from services.policy.cache import PolicyCache
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import Fenced, LeadRouterError
from services.scoring.core.emit import EmitIn, framed, pack, unpack
from services.scoring.core.read import millis
from services.scoring.core.snapshot import Telling, message
from services.scoring.store import sweep

log = structlog.get_logger(__name__)

PART: Final = 0  # its owner sweeps
PAGE: Final = 5000  # leads looked at in one step
PAUSE_S: Final = 1.0
BETWEEN_S: Final = 0.05  # while there is more to look at: the batches come first


class Held(Protocol):
    """What we need of a lease."""

    @property
    def epoch(self) -> int:
        """Under which it is held."""
        ...


class Leases(Protocol):
    """What we need of `eventlog.lease.Leases`."""

    @property
    def held(self) -> Mapping[int, Held]:
        """Partition to its lease."""
        ...


class Sweeper:
    """Sweeps in the background while this process owns the partition.

    Args:
        leases: Those of the events.
        per_s: So many leads are told anew in a second, at most.
    """

    def __init__(  # noqa: PLR0917 made in service.py
        self,
        db: Database,
        stage: str,
        topic: str,
        leases: Leases,
        outbox: Outbox,
        policies: PolicyCache,
        directory: DirectoryCache,
        clock: Clock,
        per_s: int,
    ) -> None:
        self._db, self._stage, self._topic, self._leases = db, stage, topic, leases
        self._outbox = outbox
        self._policies, self._directory = policies, directory
        self._clock = clock
        self._per_s = per_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin in the background."""
        self._task = asyncio.create_task(self._run(), name="sweep")

    async def stop(self) -> None:
        """End; a step under way is rolled back and done again by the next owner."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            lease = self._leases.held.get(PART)
            pause_s = PAUSE_S
            if lease is not None:
                try:
                    pause_s = await self.step(lease.epoch)
                except Fenced:
                    pass  # somebody else goes on
                except LeadRouterError as error:
                    log.warning("sweep_waits", reason=error.message)
            await asyncio.sleep(pause_s)

    async def step(self, epoch: int) -> float:
        """One step of whatever is due; how many seconds to wait before the next, so that no more are told than is allowed.

        Raises:
            Fenced: The partition is not ours any more.
            Unavailable: PostgreSQL or the log does not answer.
        """
        changed, more = await self._step("directory", epoch)
        asked, yet_more = await self._step("policy", epoch)
        return max(BETWEEN_S if more or yet_more else PAUSE_S, (changed + asked) / self._per_s)

    async def _step(self, kind: sweep.Kind, epoch: int) -> tuple[int, bool]:
        """How many leads were told, and whether there are more to look at."""
        progress = await sweep.SweepStore(self._db).progress(kind)
        wanted = progress.wanted
        if kind == "directory" and wanted is None:
            wanted = await changes.newest(self._db)
        if wanted is None or (kind == "directory" and wanted <= progress.done):
            return 0, False
        domains: Collection[str] | None = None
        if kind == "directory":
            domains = await changes.between(self._db, progress.done, wanted)
            if self._directory.view.version < wanted:
                await self._directory.refresh()
        else:
            await self._policies.at_least(wanted)
        try:
            async with self._db.transaction() as pg:
                await fence_epochs(pg, self._stage, self._topic, {PART: epoch})
                told, more, messages = await self._within(pg, kind, wanted, domains)
                staged = await self._outbox.stage(pg, messages)
        except Exception as error:
            raise translate(error) from error
        await self._outbox.committed(staged)
        if told:
            sweep.SWEPT.labels(kind).inc(told)
        return told, more

    async def _within(
        self, pg: Any, kind: sweep.Kind, wanted: int, domains: Collection[str] | None
    ) -> tuple[int, bool, list[Message]]:
        done, under_way, cursor = await pg.fetchrow(sweep.HELD, kind)
        if kind == "directory" and under_way is None:
            await pg.execute(sweep.BEGIN, kind, wanted)
            cursor = UUID(int=0)
        elif under_way != wanted:
            return 0, True, []  # asked anew meanwhile
        found = (
            await sweep.page(pg, cursor, PAGE, None if domains is None else sorted(domains)) if domains != set() else []
        )
        hits = [id_ for id_, hit in found if hit]
        last = found[-1][0] if found else None
        if len(hits) > self._per_s:
            hits = hits[: self._per_s]
            last = hits[-1]
        messages = await self._told(pg, hits, domains) if hits else []
        if last is None:
            await pg.execute(sweep.FINISH, kind)
            log.info("sweep_done", kind=kind, version=wanted, before=done)
        else:
            looked = sum(id_ <= last for id_, _ in found)
            await pg.execute(sweep.MOVE, kind, last, looked, len(messages))
        return len(messages), last is not None, messages

    async def _told(self, pg: Any, ids: Sequence[UUID], domains: Collection[str] | None) -> list[Message]:
        leads = {lead.id: lead for lead in await sweep.lock(pg, ids)}
        states = await sweep.members(pg, [UUID(bytes=id_) for id_ in leads])
        telling = Telling(self._policies.active, self._directory.view)
        now_ms = millis(self._clock.now())
        emits = {
            lead.id: EmitIn("changed", lead.id, now_ms, lead.known, lead.account, lead.network, [])
            for lead in leads.values()
        }
        if domains is not None:
            # The message itself says whether the lead's company, as it is known now, is one of those that changed.
            none = b"".join(id_ + bytes(8) for id_ in emits)
            asked = unpack(framed(pack(list(emits.values())), none, b"".join(states.values())))
            for emit in asked.emits:
                lead = leads[emit.lead]
                scored = telling.snapshot(emit, 0, asked.members.get(emit.lead, []))
                account = scored.account.domain if scored.account is not None else None
                if not {account, lead.account, lead.network} & {*domains}:
                    del emits[emit.lead]
        if not emits:
            return []
        heads = await sweep.raised(pg, [UUID(bytes=id_) for id_ in emits])
        told = unpack(framed(pack(list(emits.values())), heads, b"".join(states.get(id_, b"") for id_ in emits)))
        return [
            message(telling.snapshot(emit, told.versions[emit.lead], told.members.get(emit.lead, [])))
            for emit in told.emits
        ]
