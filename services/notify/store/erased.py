"""Has notify forgotten these leads? Asked for requests to be forgotten, which are done when every stage is."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final
from uuid import UUID

from services.runtime.db import Database

KNOWN: Final = "SELECT count(*) FROM notify.handled WHERE message_id = ANY ($1::uuid[])"


async def has_handled(db: Database, source: str, ids: Sequence[str]) -> bool:
    """Whether these messages have had their effect: those by which the router says that it has forgotten."""
    wanted = {UUID(bytes=blake2b(f"{source}\0{id_}".encode(), digest_size=16).digest()) for id_ in ids}
    async with db.raw() as pg:
        return bool(await pg.fetchval(KNOWN, list(wanted)) == len(wanted))
