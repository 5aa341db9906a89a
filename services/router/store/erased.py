"""Has the router forgotten these leads? Asked for requests to be forgotten, which are done when every stage is."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from services.runtime.db import Database

# Rows stay without a name, so that nothing old brings the person back.
GONE: Final = """
SELECT count(*) FROM unnest($1::uuid[], $2::bigint[]) AS u (id, version) JOIN router.lead l ON l.id = u.id AND l.version >= u.version
 WHERE l.erased"""


async def has_forgotten(db: Database, leads: Sequence[tuple[str, int]]) -> bool:
    """Whether all of these are forgotten.

    Args:
        leads: Lead id and the version of scoring's last message of it.
    """
    async with db.raw() as pg:
        gone = await pg.fetchval(GONE, [UUID(lead) for lead, _ in leads], [version for _, version in leads])
        return bool(gone == len(leads))


def last_word(lead_id: str, version: int) -> str:
    """The id of the message in which the router says that it has forgotten a lead."""
    return f"{lead_id}.{version}.erased"
