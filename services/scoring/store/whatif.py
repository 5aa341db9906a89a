"""Reads one person as a whole, by any of the identifiers; locks and writes nothing."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.runtime.db import Database
from services.scoring.core.emit import Member
from services.scoring.core.identity import Ident
from services.scoring.core.whatif import Person

OWNERS: Final = "SELECT key, lead_id FROM scoring.link WHERE key = ANY ($1::uuid[])"
LEAD: Final = "SELECT id, version, known, account_domain, network FROM scoring.lead WHERE id = $1"
MEMBERS: Final = """
SELECT k.kind, k.value, k.verified, k.since, p.state, p.traits
  FROM scoring.link k LEFT JOIN scoring.profile p ON p.key = k.key WHERE k.lead_id = $1 ORDER BY k.kind, k.since LIMIT 1000"""
ALONE: Final = "SELECT kind, value, state, traits FROM scoring.profile WHERE key = ANY ($1::uuid[])"


async def person(db: Database, idents: Sequence[Ident]) -> Person | None:
    """The person that the strongest known one of these identifiers belongs to, or the visitor; None: never seen.

    Identifiers that belong to nobody yet come along: an event that names them together would join them.
    """
    keys = [UUID(bytes=ident.key) for ident in idents]
    async with db.raw() as pg:
        owners = {row["key"]: row["lead_id"] for row in await pg.fetch(OWNERS, keys)}
        free = [key for key in keys if key not in owners]
        alone = [
            Member(row["kind"], row["value"], False, 0, bytes(row["state"] or b""), row["traits"])
            for row in await pg.fetch(ALONE, free)
        ]
        lead_id = next((owners[key] for key in keys if key in owners), None)
        if lead_id is None:
            return Person(members=alone) if alone else None
        lead = await pg.fetchrow(LEAD, lead_id)
        members = [
            Member(row["kind"], row["value"], row["verified"], row["since"], bytes(row["state"] or b""), row["traits"])
            for row in await pg.fetch(MEMBERS, lead_id)
        ]
    return Person(
        lead=lead_id.bytes,
        version=lead["version"] if lead else 0,
        known=bool(lead and lead["known"]),
        account=lead["account_domain"] if lead else None,
        network=lead["network"] if lead else None,
        members=members + alone,
    )
