"""What a rep's pages ask beyond the API: how offers stand, who has a lead, what its score was."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from schemas.messages import CurvePart, Fit
from services.router.api.leads import Leads
from services.router.core.model import OPEN
from services.router.store.reads import Reads
from services.runtime.access import Identity
from services.runtime.db import Database

HISTORY_MAX: Final = 100


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment as it stands now. `since` is when it came into this state."""

    id: str
    gen: int
    lead_id: str
    rep: str
    state: str
    since: datetime
    snoozed_until: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it can be answered."""
        return self.state in OPEN


class Scored(msgspec.Struct, frozen=True):
    """A lead's score when it was decided: the curve goes on from `as_of`."""

    as_of: datetime
    curve: list[CurvePart] = []
    fit: Fit | None = None


class _Record(msgspec.Struct, frozen=True):
    snapshot: Scored


class LeadDesk:
    """Reads for the console."""

    def __init__(self, db: Database, leads: Leads) -> None:
        self._reads = Reads(db)
        self._leads = leads

    async def offers(self, ids: Collection[str]) -> dict[str, Offer]:
        """Offers by id, as the router knows them: newer than any notice of them. Ids that are none are left out."""
        keys = [UUID(hex=one) for one in ids if len(one) == 32 and set(one) <= set("0123456789abcdef")]
        return {row["id"].hex: _offer(row) for row in await self._reads.assignments_named(keys)}

    async def holder(self, lead_id: str) -> Offer | None:
        """Who has the lead, or has been offered it; None for nobody."""
        row = await self._reads.lead(lead_id)
        found = await self._reads.open_assignments([row["id"]]) if row is not None else {}
        return next((_offer(one) for one in found.values()), None)

    async def assignments(self, who: Identity, lead_id: str) -> list[dict[str, Any]]:
        """Every assignment of a lead, newest first.

        Raises:
            Refused: `not_found`.
        """
        lead = await self._leads.one(who, lead_id)
        return await self._reads.assignments(UUID(lead["id"]))

    async def history(self, who: Identity, lead_id: str) -> list[Scored]:
        """The score at each of the newest decisions, oldest first.

        Raises:
            Refused: `not_found`.
        """
        lead = await self._leads.one(who, lead_id)
        rows = await self._reads.decisions(UUID(lead["id"]), HISTORY_MAX)
        return sorted((msgspec.convert(row["record"], _Record).snapshot for row in rows), key=lambda one: one.as_of)


def _offer(row: Mapping[str, Any]) -> Offer:
    return Offer(
        id=row["id"].hex,
        gen=row["gen"],
        lead_id=row["lead_id"].hex,
        rep=row["rep_id"],
        state=row["state"],
        since=row["ended_at"] or row["accepted_at"] or row["offered_at"],
        snoozed_until=row["snoozed_until"],
    )
