"""Answers for people who look at people: who is this, and what did they do?"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, insert, or_, select, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.messages import ID_KINDS
from schemas.signals import SIGNALS
from services.runtime.db import Database
from services.scoring.core import traits
from services.scoring.core.actor import WHOLE, verdict_of
from services.scoring.core.identity import ANONYMOUS, Names, generation_key
from services.scoring.core.link import HOWS
from services.scoring.core.read import Event, moment, read
from services.scoring.store.probe import bodies
from services.scoring.tables import ERASURE, EVENT, EVENT_SIDE, LEAD, LINK, OUTCOME, PROFILE, SEGMENT

_BY_CODE: Final = {code: signal for signal, code in SIGNALS.items()}
_MAX_BYTES: Final = 1 << 30


# Whether the other stages have forgotten these leads: id and the version of our last message.
Everywhere = Callable[[Sequence[tuple[str, int]]], Awaitable[bool]]
# Nothing of before is under way any more: the log does not keep records for so long.
UNDER_WAY: Final = timedelta(days=30)


class Job(msgspec.Struct, frozen=True):
    """A request to be forgotten. `scored_at`: when scoring had done its part; `done_at`: when every stage had."""

    id: str
    asked_at: datetime
    scored_at: datetime | None
    done_at: datetime | None
    profiles: int


class PeopleStore:
    """Reads of the API.

    Args:
        everywhere: Asks the other stages; left out: there are none to ask.
    """

    def __init__(self, db: Database, everywhere: Everywhere | None = None) -> None:
        self._db = db
        self._everywhere = everywhere
        self._names = Names(10_000)

    async def person(self, kind: str, value: str) -> dict[str, Any] | None:
        """The person or visitor with this identifier, all identifiers included; None when nobody was ever seen."""
        ident = self._names.ident(kind, value)
        if isinstance(ident, str):
            return None
        async with self._db.begin() as pg:
            return await self._shown(pg, UUID(bytes=ident.key), value=ident.value if ident.kind == ANONYMOUS else None)

    async def by_key(self, key: UUID) -> dict[str, Any] | None:
        """The same by the key of any of the person's profiles, or the lead id."""
        async with self._db.begin() as pg:
            return await self._shown(pg, key)

    async def _shown(self, pg: AsyncConnection, key: UUID, value: str | None = None) -> dict[str, Any] | None:
        members = await _members(pg, key, value)
        if not members:
            return None
        profiles = {
            row.key: row
            for row in await pg.execute(select(PROFILE).where(PROFILE.c.key.in_([member["key"] for member in members])))
        }
        lead_id = members[0]["lead_id"]
        lead = (await pg.execute(select(LEAD).where(LEAD.c.id == lead_id))).first() if lead_id else None
        values = traits.merged(traits.unpack(row.traits) for row in profiles.values())
        outcomes = (
            (
                await pg.execute(
                    select(OUTCOME).where(OUTCOME.c.lead_id == lead_id).order_by(OUTCOME.c.at.desc()).limit(50)
                )
            ).all()
            if lead_id
            else []
        )
        return {
            "key": key.hex,
            "lead_id": lead_id.hex if lead_id else None,
            "known": bool(lead and lead.known),
            "account_domain": lead.account_domain if lead else None,
            "version": lead.version if lead else None,
            "identifiers": [
                {
                    "key": member["key"].hex,
                    "kind": ID_KINDS[member["kind"]],
                    "value": member["value"],
                    "how": HOWS[member["how"]] if member["how"] is not None else None,
                    "verified": member["verified"],
                    "since": moment(member["since"]) if member["since"] is not None else None,
                }
                for member in members
            ],
            "traits": values,
            "outcomes": [{"kind": row.kind, "reason": row.reason, "rep": row.rep, "at": row.at} for row in outcomes],
        }

    async def timeline(self, key: UUID, before: UUID | None, limit: int) -> list[dict[str, Any]] | None:
        """Events of all of the person's profiles, newest first; None when nobody has this key.

        Args:
            before: Event id; only older ones are given.
        """
        async with self._db.begin() as pg:
            members = await _members(pg, key, None)
            if not members:
                return None
            keys = {member["key"]: member for member in members}
            sources = [_events(table, list(keys), before, limit) for table in (EVENT, EVENT_SIDE)]
            both = union_all(*(select(source.subquery()) for source in sources)).subquery()
            rows = (await pg.execute(select(both).order_by(both.c.id.desc()).limit(limit))).all()
            wanted = {row.segment for row in rows}
            packed = await pg.execute(select(SEGMENT.c.id, SEGMENT.c.body).where(SEGMENT.c.id.in_(wanted)))
            unpacked = {row.id: bodies(row.body) for row in packed}
        return [self._item(row, unpacked.get(row.segment), keys[row.key]) for row in rows]

    def _item(self, row: Any, segment: Sequence[msgspec.Raw] | None, member: Mapping[str, Any]) -> dict[str, Any]:
        actor, reason = verdict_of(row.verdict)
        own_ms = int.from_bytes(row.id.bytes[:6])
        item: dict[str, Any] = {
            "event_id": row.id.hex,
            "signal": _BY_CODE.get(row.signal),
            "occurred_at": moment(own_ms),
            "actor": actor,
            "human": row.weight / WHOLE,
            "reasons": [reason] if reason else [],
            "state": "too_old" if reason == "too_old" else "machine" if actor == "machine" else "scored",
            "identifier": {"kind": ID_KINDS[member["kind"]], "value": member["value"]},
        }
        event = (
            read(bytes(segment[row.idx]), own_ms, self._names, _MAX_BYTES)
            if segment and row.idx < len(segment)
            else None
        )
        if isinstance(event, Event):
            wire = event.wire
            item.update(
                signal=event.signal,
                name=wire.name,
                occurred_at=moment(event.at_ms),
                received_at=moment(event.received_ms),
                url=wire.url,
                path=wire.path,
                link=wire.link,
                message_id=wire.message_id,
                campaign=wire.campaign,
                trust=wire.trust,
                source=event.source,
            )
        return item

    # -- being forgotten

    async def ask(self, job: str) -> None:
        """Note a request to be forgotten; the stage does it when its event comes by."""
        async with self._db.begin() as pg:
            await pg.execute(insert(ERASURE).values(id=job))

    async def job(self, job: str) -> Job | None:
        """A request, or None."""
        async with self._db.begin() as pg:
            late = (ERASURE.c.done_at < func.now() - UNDER_WAY).label("late")
            row = (await pg.execute(select(ERASURE, late).where(ERASURE.c.id == job))).first()
        if row is None:
            return None
        everywhere_at = row.everywhere_at
        if row.done_at is not None and everywhere_at is None:
            leads = [(lead.hex, version) for lead, version in zip(row.leads, row.versions, strict=True)]
            if row.late or not leads or self._everywhere is None or await self._everywhere(leads):
                done = (
                    update(ERASURE).where(ERASURE.c.id == job).values(everywhere_at=func.now(), leads=[], versions=[])
                )
                async with self._db.begin() as pg:
                    everywhere_at = (await pg.execute(done.returning(ERASURE.c.everywhere_at))).scalar_one()
        return Job(row.id, row.asked_at, row.done_at, everywhere_at, row.profiles)

    async def withdraw(self, job: str) -> None:
        """Mark a request that could not be handed on as done with nothing."""
        async with self._db.begin() as pg:
            await pg.execute(
                update(ERASURE).where(ERASURE.c.id == job).values(done_at=func.now(), everywhere_at=func.now())
            )


def _events(table: Any, keys: Sequence[UUID], before: UUID | None, limit: int) -> Select[Any]:
    found = select(table).where(table.c.key.in_(keys))
    if before is not None:
        found = found.where(table.c.id < before)
    return found.order_by(table.c.id.desc()).limit(limit)


async def _members(pg: AsyncConnection, key: UUID, value: str | None) -> list[dict[str, Any]]:
    own = (await pg.execute(select(LINK).where(or_(LINK.c.key == key, LINK.c.lead_id == key)).limit(1))).first()
    if own is not None and value is not None and own.turns:
        # The browser has passed on: its present owner is meant.
        latest = UUID(bytes=generation_key(value, len(own.turns)))
        own = (await pg.execute(select(LINK).where(LINK.c.key == latest))).first() or own
    if own is not None:
        rows = await pg.execute(
            select(LINK).where(LINK.c.lead_id == own.lead_id).order_by(LINK.c.kind, LINK.c.since, LINK.c.key)
        )
        return [dict(row._mapping) for row in rows]
    alone = (await pg.execute(select(PROFILE).where(PROFILE.c.key == key))).first()
    if alone is None:
        return []
    return [
        {
            "key": alone.key, "kind": alone.kind, "value": alone.value, "lead_id": None, "how": None, "verified": False, "since": None,
        }
    ]  # fmt: skip
