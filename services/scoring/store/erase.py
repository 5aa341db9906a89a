"""Forgets a person: profiles, links, events, and the bodies of their events inside the segments."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.scoring.store.packed import uuids
from services.scoring.store.probe import bodies, packed_bodies

LEADS: Final = "SELECT DISTINCT lead_id FROM scoring.link WHERE key = ANY ($1::uuid[]) ORDER BY lead_id"
LOCK: Final = """
SELECT id, version FROM scoring.lead WHERE id = ANY ($1::uuid[]) OR merged_into = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"""
MEMBERS: Final = "SELECT key, kind, value FROM scoring.link WHERE lead_id = ANY ($1::uuid[]) ORDER BY key"
EVENTS: Final = """
SELECT segment, idx FROM scoring.event WHERE key = ANY ($1::uuid[])
UNION ALL SELECT segment, idx FROM scoring.event_side WHERE key = ANY ($1::uuid[]) ORDER BY 1, 2"""
SEGMENT: Final = "SELECT body FROM scoring.segment WHERE id = $1 FOR UPDATE"
REWRITE: Final = "UPDATE scoring.segment SET body = $2 WHERE id = $1"
FORGET: Final = (
    "DELETE FROM scoring.event WHERE key = ANY ($1::uuid[])",
    "DELETE FROM scoring.event_side WHERE key = ANY ($1::uuid[])",
    "DELETE FROM scoring.profile WHERE key = ANY ($1::uuid[])",
    "DELETE FROM scoring.link WHERE key = ANY ($1::uuid[])",
    "DELETE FROM scoring.link_history WHERE key = ANY ($1::uuid[])",
)
FORGET_LEADS: Final = (
    "DELETE FROM scoring.apart WHERE one = ANY ($1::uuid[]) OR other = ANY ($1::uuid[])",
    "DELETE FROM scoring.outcome WHERE lead_id = ANY ($1::uuid[])",
    "DELETE FROM scoring.lead WHERE id = ANY ($1::uuid[]) OR merged_into = ANY ($1::uuid[])",
)
SUPPRESS: Final = "INSERT INTO scoring.suppressed (hash) SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING"
DONE: Final = """
INSERT INTO scoring.erasure (id, done_at, events, profiles, leads, versions) VALUES ($1, now(), $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET done_at = coalesce(scoring.erasure.done_at, now()),
    leads = scoring.erasure.leads || excluded.leads, versions = scoring.erasure.versions || excluded.versions,
    events = scoring.erasure.events + excluded.events, profiles = scoring.erasure.profiles + excluded.profiles"""
CHANNEL: Final = "scoring_suppressed"
# Alone: batches under way end first, later ones are folded again. Before the fence, so that nobody waits for us twice.
ALONE: Final = "SELECT pg_advisory_xact_lock(7209471107)"
COUNT: Final = "UPDATE scoring.secret SET erasures = erasures + 1"
NOTIFY: Final = f"NOTIFY {CHANNEL}"
NULL: Final = b"null"


class Erased(msgspec.Struct):
    """What was forgotten.

    Attributes:
        leads: Lead and the version of its last message, `erased`.
        members: (kind, value) of every identifier.
        events: How many events are gone.
    """

    leads: list[tuple[bytes, int]]
    members: list[tuple[int, str]]
    events: int


async def alone(pg: Any) -> None:
    """Wait for the batches under way; the first statement of a transaction that erases."""
    await pg.execute(ALONE)


async def erase(pg: Any, keys: Sequence[bytes]) -> Erased:
    """Remove the leads of these identifiers with all their members, inside the caller's transaction."""
    leads = [row[0] for row in await pg.fetch(LEADS, uuids(sorted(keys)))]
    versions = {row[0]: row[1] for row in await pg.fetch(LOCK, leads)}
    members = await pg.fetch(MEMBERS, leads)
    gone = sorted({*keys, *(row[0].bytes for row in members)})
    place = uuids(gone)
    by_segment: dict[int, list[int]] = {}
    for segment, idx in await pg.fetch(EVENTS, place):
        by_segment.setdefault(segment, []).append(idx)
    for segment, places in sorted(by_segment.items()):
        raw = [bytes(body) for body in bodies(await pg.fetchval(SEGMENT, segment))]
        for idx in places:
            raw[idx] = NULL
        await pg.execute(REWRITE, segment, packed_bodies(raw))
    for statement in FORGET:
        await pg.execute(statement, place)
    for statement in FORGET_LEADS:
        await pg.execute(statement, leads)
    return Erased(
        [(lead.bytes, versions[lead] + 1) for lead in leads if lead in versions],
        [(row[1], row[2]) for row in members],
        sum(map(len, by_segment.values())),
    )


async def finish(pg: Any, job: str, hashes: Sequence[bytes], gone: Erased) -> None:
    """Remember, as keyed hashes, who must not come back; mark the job done; tell the other processes."""
    leads = uuids([lead for lead, _ in gone.leads]), [version for _, version in gone.leads]
    await pg.execute(SUPPRESS, sorted(hashes))
    await pg.execute(DONE, job, gone.events, len(gone.members), *leads)
    await lists_changed(pg)


async def lists_changed(pg: Any) -> None:
    """Batches that were folded under the lists of before are refused, and every process reads them again."""
    await pg.execute(COUNT)
    await pg.execute(NOTIFY)
