"""Assignments: who had which lead, and how it ended."""

from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.messages import AssignmentState
from services.eventlog.ports import Connection
from services.router.core.model import Held

_HELD: Final = "id, lead_id, rep_id, gen, state, via, pool, offered_at, accepted_at, snoozed_until, decision_id, shares"
NAMED: Final = f"SELECT {_HELD} FROM router.assignment WHERE id = $1"
# For `router.apply`.
CHANGE_TYPES: Final = "uuid[],uuid[],int[],text[],timestamptz[],timestamptz[],timestamptz[],text[]"
CHANGE_WIDTH: Final = 8
OFFER_TYPES: Final = "uuid[],uuid[],text[],int[],text[],text[],text[],text[],uuid[],json[],timestamptz[]"
OFFER_WIDTH: Final = 11
_shares: Final = msgspec.json.Decoder(dict[str, int])
_encode: Final = msgspec.json.Encoder().encode


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A new assignment to write."""

    lead_id: str
    held: Held
    segment: str | None
    stage: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment's new state to write. `ended_at` None while it is open."""

    lead_id: str
    held: Held
    state: AssignmentState
    ended_at: datetime | None = None
    reason: str | None = None


def held_of(row: Any) -> Held:
    """A row as a Held."""
    return Held(
        id=row["id"].hex,
        rep=row["rep_id"],
        gen=row["gen"],
        state=row["state"],
        via=row["via"],
        pool=row["pool"],
        offered_at=row["offered_at"],
        accepted_at=row["accepted_at"],
        snoozed_until=row["snoozed_until"],
        decision_id=row["decision_id"].hex,
        shares=_shares.decode(row["shares"]),
    )


async def named_assignment(pg: Connection, assignment_id: str) -> tuple[str, Held] | None:
    """The lead of an assignment, and the assignment, open or not."""
    row = await pg.fetchrow(NAMED, assignment_id)
    return (row["lead_id"].hex, held_of(row)) if row is not None else None


def change_row(change: Change) -> tuple[Any, ...]:
    """For `CHANGE_TYPES`."""
    held = change.held
    return (
        held.id, change.lead_id, held.gen, change.state, held.accepted_at, held.snoozed_until, change.ended_at, change.reason,
    )  # fmt: skip


def offer_row(offer: Offer) -> tuple[Any, ...]:
    """For `OFFER_TYPES`."""
    held = offer.held
    return (
        held.id, offer.lead_id, held.rep, held.gen, held.via, held.pool, offer.segment, offer.stage, held.decision_id,
        _encode(held.shares).decode(), held.offered_at,
    )  # fmt: skip
