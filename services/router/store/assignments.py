"""Assignments: who had which lead, and how it ended."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.messages import AssignmentState
from services.eventlog.ports import Connection
from services.router.core.model import Held

_HELD: Final = "id, lead_id, rep_id, gen, state, via, pool, offered_at, accepted_at, snoozed_until, decision_id, shares"
OPEN_OF: Final = (
    f"SELECT {_HELD} FROM router.assignment WHERE lead_id = ANY($1::uuid[]) AND state IN ('offered', 'accepted')"
)
NAMED: Final = f"SELECT {_HELD} FROM router.assignment WHERE id = $1"
OFFER_COLUMNS: Final = (
    "id", "lead_id", "rep_id", "gen", "state", "via", "pool", "segment", "stage", "decision_id", "shares", "offered_at",
)  # fmt: skip
CHANGE: Final = """
UPDATE router.assignment a SET lead_id = u.lead_id, gen = u.gen, state = u.state, accepted_at = u.accepted_at,
       snoozed_until = u.snoozed_until, ended_at = u.ended_at, reason = u.reason
FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
            $8::text[]) AS u(id, lead_id, gen, state, accepted_at, snoozed_until, ended_at, reason)
WHERE a.id = u.id
"""
LOADS: Final = """
SELECT rep_id, count(*) FILTER (WHERE state IN ('offered', 'accepted')) AS open,
       count(*) FILTER (WHERE offered_at >= $2 AND state <> 'recalled') AS day
FROM router.assignment WHERE rep_id = ANY($1::text[]) AND (state IN ('offered', 'accepted') OR offered_at >= $2)
GROUP BY rep_id
"""
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


async def open_assignments(pg: Connection, lead_ids: Collection[str]) -> dict[str, Held]:
    """Lead id to its open assignment. The leads are locked already, and so are their assignments."""
    rows = await pg.fetch(OPEN_OF, list(lead_ids))
    return {row["lead_id"].hex: held_of(row) for row in rows}


async def named_assignment(pg: Connection, assignment_id: str) -> tuple[str, Held] | None:
    """The lead of an assignment, and the assignment, open or not."""
    row = await pg.fetchrow(NAMED, assignment_id)
    return (row["lead_id"].hex, held_of(row)) if row is not None else None


async def save_assignments(pg: Connection, changes: Sequence[Change], offers: Sequence[Offer]) -> None:
    """Write changes, then offers: a lead that is given on has its old assignment closed first."""
    if changes:
        last = {change.held.id: change for change in changes}
        rows = [
            (c.held.id, c.lead_id, c.held.gen, c.state, c.held.accepted_at, c.held.snoozed_until, c.ended_at, c.reason)
            for c in last.values()
        ]
        await pg.execute(CHANGE, *map(list, zip(*rows, strict=True)))
    if offers:
        new = [
            (
                o.held.id, o.lead_id, o.held.rep, o.held.gen, "offered", o.held.via, o.held.pool, o.segment, o.stage,
                o.held.decision_id, _encode(o.held.shares).decode(), o.held.offered_at,
            )
            for o in offers
        ]  # fmt: skip
        await pg.copy_records_to_table("assignment", schema_name="router", columns=OFFER_COLUMNS, records=new)


async def loads(pg: Connection, reps: Collection[str], day: datetime) -> dict[str, tuple[int, int]]:
    """Rep to (open assignments, given since `day`). Ask only for reps with a limit: then the count is bounded by it."""
    if not reps:
        return {}
    rows = await pg.fetch(LOADS, sorted(reps), day)
    return {row["rep_id"]: (row["open"], row["day"]) for row in rows}
