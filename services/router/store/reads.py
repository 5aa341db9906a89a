"""What the API shows: leads, decisions, assignments."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_

from services.directory.core.domains import spelled
from services.router.core.model import OPEN, DecisionRecord
from services.router.tables import ASSIGNMENT, DECISION, LEAD
from services.runtime.db import Database

MERGES_MAX: Final = 20
_LIVE: Final = and_(LEAD.c.merged_into.is_(None), LEAD.c.erased.is_(False))


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What to list. None: everything.

    Attributes:
        only_reps: A rep sees the leads of these, themselves among them, and those of `only_pools`.
    """

    email: str | None = None
    q: str | None = None
    stage: str | None = None
    segment: str | None = None
    assignee: str | None = None
    route: str | None = None
    domain: str | None = None
    only_reps: tuple[str, ...] | None = None
    only_pools: tuple[str, ...] = ()

    def conditions(self) -> list[ColumnElement[bool]]:
        """The WHERE clause, in parts."""
        found: list[ColumnElement[bool]] = [_LIVE]
        for name in ("stage", "segment", "assignee", "route", "domain"):
            value = getattr(self, name)
            if value is not None:
                found.append(LEAD.c[name] == value)
        if self.email is not None:
            found.append(LEAD.c.email == spelled(self.email))
        if self.q is not None:
            like = f"%{_escaped(self.q.strip())}%"
            columns = (LEAD.c.email, LEAD.c.name, LEAD.c.domain, LEAD.c.account_name)
            found.append(or_(*(column.ilike(like, escape="\\") for column in columns)))
        if self.only_reps is not None:
            found.append(or_(LEAD.c.assignee.in_(self.only_reps), LEAD.c.pool.in_(self.only_pools)))
        return found


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class Reads:
    """Queries of the API over the router's tables."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def leads(self, filters: Filters, limit: int, after: tuple[datetime, str] | None) -> list[dict[str, Any]]:
        """Leads, newest first; `after` is (created_at, id) of the last one seen."""
        query = select(LEAD).where(*filters.conditions())
        if after is not None:
            query = query.where(tuple_(LEAD.c.created_at, LEAD.c.id) < tuple_(after[0], UUID(after[1])))
        return await self._rows(query.order_by(LEAD.c.created_at.desc(), LEAD.c.id.desc()).limit(limit))

    async def lead(self, lead_id: str) -> dict[str, Any] | None:
        """One lead, or the one that it was merged into."""
        for _ in range(MERGES_MAX):
            rows = await self._rows(select(LEAD).where(LEAD.c.id == UUID(lead_id), LEAD.c.erased.is_(False)))
            if not rows or rows[0]["merged_into"] is None:
                return rows[0] if rows else None
            lead_id = rows[0]["merged_into"].hex
        return None

    async def open_assignments(self, lead_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
        """Lead to its open assignment."""
        query = select(ASSIGNMENT).where(ASSIGNMENT.c.lead_id.in_(list(lead_ids)), ASSIGNMENT.c.state.in_(sorted(OPEN)))
        return {row["lead_id"]: row for row in await self._rows(query)} if lead_ids else {}

    async def assignments_named(self, ids: Collection[UUID]) -> list[dict[str, Any]]:
        """These assignments, in no order."""
        return await self._rows(select(ASSIGNMENT).where(ASSIGNMENT.c.id.in_(list(ids)))) if ids else []

    async def assignments(self, lead_id: UUID) -> list[dict[str, Any]]:
        """Every assignment of a lead, newest first."""
        query = select(ASSIGNMENT).where(ASSIGNMENT.c.lead_id == lead_id)
        return await self._rows(query.order_by(ASSIGNMENT.c.offered_at.desc(), ASSIGNMENT.c.gen.desc()).limit(100))

    async def decisions(self, lead_id: UUID, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """Decisions of a lead, newest first; `before` is the number of the last one seen."""
        query = select(DECISION).where(DECISION.c.lead_id == lead_id)
        if before is not None:
            query = query.where(DECISION.c.n < before)
        return await self._rows(query.order_by(DECISION.c.n.desc()).limit(limit))

    async def decision(self, decision_id: str) -> dict[str, Any] | None:
        """One decision."""
        rows = await self._rows(select(DECISION).where(DECISION.c.id == UUID(decision_id)))
        return rows[0] if rows else None

    async def orphans(self, now: datetime) -> list[str]:
        """Leads without owner, track or a reason with a date to come: there must be none."""
        waits = and_(LEAD.c.waiting_until.is_not(None), LEAD.c.waiting_until > now)
        query = select(LEAD.c.id).where(
            LEAD.c.assignee.is_(None), LEAD.c.track.is_(None), _LIVE, ~func.coalesce(waits, False)
        )
        return [row["id"].hex for row in await self._rows(query.limit(1000))]

    async def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        async with self._db.begin() as connection:
            return [dict(row) for row in (await connection.execute(query)).mappings()]


def record_of(row: dict[str, Any]) -> DecisionRecord:
    """The decision with all its inputs."""
    return msgspec.convert(row["record"], DecisionRecord)
