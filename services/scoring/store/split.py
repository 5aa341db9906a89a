"""Writes a split: links move, both leads are told anew. Batches under way that knew the old lead conflict and read again."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final
from uuid import UUID

from schemas.codec import Message
from services.eventlog.fence import translate
from services.eventlog.ports import Outbox
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import Refused
from services.scoring.core.emit import EmitIn, framed, pack
from services.scoring.core.identity import EMAIL
from services.scoring.core.link import SPLIT, Lead
from services.scoring.core.read import millis
from services.scoring.core.split import Held, part
from services.scoring.store import erase, sweep
from services.scoring.store.connection import Line

LEAD: Final = "SELECT * FROM scoring.lead WHERE id = $1 AND merged_into IS NULL FOR UPDATE"
MEMBERS: Final = "SELECT key, kind, value, verified, since FROM scoring.link WHERE lead_id = $1 ORDER BY key FOR UPDATE"
# Those whom a merge brought along, as far as they are still there.
MERGED: Final = """
SELECT DISTINCT h.key FROM scoring.link_history h JOIN scoring.link l ON l.key = h.key AND l.lead_id = h.to_lead
 WHERE h.from_lead = $1 AND h.to_lead = $2 AND h.how = 3"""
MOVE: Final = "UPDATE scoring.link SET lead_id = $2, how = $3 WHERE key = ANY ($1::uuid[])"
NOTE: Final = "INSERT INTO scoring.link_history (key, from_lead, to_lead, how) SELECT unnest($1::uuid[]), $2, $3, $4"
# A lead that was merged away lives again under its old id; its version goes on.
SAVE: Final = """
INSERT INTO scoring.lead (id, version, shape, since, size, emails, kinds, known, account_domain, network, merged_into)
VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL)
ON CONFLICT (id) DO UPDATE SET version = scoring.lead.version + 1, shape = scoring.lead.shape + excluded.shape, since = excluded.since,
    size = excluded.size, emails = excluded.emails, kinds = excluded.kinds, known = excluded.known,
    account_domain = excluded.account_domain, merged_into = NULL
RETURNING version"""
# Whoever decided by hand knows more than what the sources send: the next event that names both would join them again.
KEEP_APART: Final = "INSERT INTO scoring.apart (one, other) VALUES ($1, $2) ON CONFLICT DO NOTHING"
# By the leads that live on, so that one that was merged into a third is still kept from the other.
APART: Final = """
WITH RECURSIVE up (was, id) AS (
    SELECT l.id, l.id FROM scoring.lead l JOIN (SELECT one FROM scoring.apart UNION SELECT other FROM scoring.apart) a (id) USING (id)
    UNION ALL SELECT u.was, l.merged_into FROM up u JOIN scoring.lead l ON l.id = u.id WHERE l.merged_into IS NOT NULL)
SELECT a.one, a.other FROM scoring.apart a
UNION SELECT x.id, y.id FROM scoring.apart a JOIN up x ON x.was = a.one JOIN up y ON y.was = a.other"""


async def apart(line: Line) -> list[tuple[bytes, bytes]]:
    """Pairs of leads that were parted by hand."""
    async with line.use() as pg:
        return [(row[0].bytes, row[1].bytes) for row in await pg.fetch(APART)]


class Splitter:
    """Parts leads, and remembers that they are to stay apart.

    Args:
        encode: Makes messages of a payload (`ScoringHandler.encode`).
        account_of: Domain of the account of an e-mail address, or None.
    """

    def __init__(
        self,
        db: Database,
        outbox: Outbox,
        clock: Clock,
        encode: Callable[[bytes], Sequence[Message]],
        account_of: Callable[[str], str | None],
    ) -> None:
        self._db = db
        self._outbox = outbox
        self._clock = clock
        self._encode = encode
        self._account_of = account_of

    async def split(
        self, lead_id: UUID, keys: Collection[UUID] | None, merged: UUID | None = None
    ) -> tuple[UUID, UUID]:
        """Part a lead: `keys` go; or everything that the merge of `merged` into it brought.

        Returns:
            The lead that keeps the id, and the other.

        Raises:
            Refused: `not_found`, `not_a_member`, `nobody_left`.
        """
        try:
            async with self._db.transaction() as pg:
                await erase.alone(pg)
                pair, messages = await self._split(pg, lead_id, keys, merged)
                staged = await self._outbox.stage(pg, messages)
        except Exception as error:
            raise translate(error) from error
        await self._outbox.committed(staged)
        return pair

    async def _split(
        self, pg: Any, lead_id: UUID, keys: Collection[UUID] | None, merged: UUID | None
    ) -> tuple[tuple[UUID, UUID], Sequence[Message]]:
        row = await pg.fetchrow(LEAD, lead_id)
        if row is None:
            raise Refused(f"there is no lead {lead_id.hex}", code="not_found")
        members = [Held(r[0].bytes, r[1], r[2], r[3], r[4]) for r in await pg.fetch(MEMBERS, lead_id)]
        if keys is None:
            keys = [r[0] for r in await pg.fetch(MERGED, merged, lead_id)]
        parted = part(Lead(lead_id.bytes, shape=row["shape"]), members, {key.bytes for key in keys})
        if isinstance(parted, str):
            raise Refused("both people need an address or an id of their own, and only members can go", code=parted)
        old, new = UUID(bytes=parted.old.id), UUID(bytes=parted.new.id)
        moved = [UUID(bytes=key) for key in parted.moved]
        await pg.execute(MOVE, moved, new, SPLIT)
        await pg.execute(NOTE, moved, old, new, SPLIT)
        await pg.execute(KEEP_APART, *sorted((old, new)))
        await erase.lists_changed(pg)
        versions = b""
        for lead in sorted((parted.old, parted.new), key=lambda one: one.id):
            mine = [one for one in members if (one.key in parted.moved) == (lead is parted.new)]
            lead.account = next((a for one in mine if one.kind == EMAIL and (a := self._account_of(one.value))), None)
            version = await pg.fetchval(
                SAVE, UUID(bytes=lead.id), lead.shape, lead.since, lead.size, lead.emails, lead.kinds, lead.known, lead.account
            )  # fmt: skip
            versions += lead.id + version.to_bytes(8)
        now_ms = millis(self._clock.now())
        emits = [
            EmitIn("split", parted.old.id, now_ms, parted.old.known, parted.old.account, None, []),
            EmitIn("changed", parted.new.id, now_ms, parted.new.known, parted.new.account, None, []),
        ]
        states = b"".join((await sweep.members(pg, [old, new])).values())
        return (old, new), self._encode(framed(pack(emits), versions, states))
