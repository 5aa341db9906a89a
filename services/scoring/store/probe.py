"""Reads ahead for one batch, in a few statements: known events, profiles that are not cached, links with their leads."""

from collections.abc import Collection, Iterable
from typing import Any, Final

import cramjam
import msgspec
from asyncpg.pgproto.pgproto import UUID

from services.scoring.core.emit import CauseIn
from services.scoring.core.identity import Names
from services.scoring.core.link import Lead, Link
from services.scoring.core.profile import Profile
from services.scoring.core.read import Event, read
from services.scoring.store.connection import Line
from services.scoring.store.packed import uuids

# The bounds say which partitions are meant: without them each of some fifteen is asked for all ids.
KNOWN: Final = "SELECT id FROM scoring.event WHERE id = ANY ($1::uuid[]) AND id >= $2 AND id <= $3"
KNOWN_SIDE: Final = "SELECT id FROM scoring.event_side WHERE id = ANY ($1::uuid[])"
PROFILES: Final = """
SELECT key, kind, value, version, seen_day, pending, state, traits, mails FROM scoring.profile WHERE key = ANY ($1::uuid[])"""
LINKS: Final = """
SELECT k.key, k.kind, k.value, k.lead_id, k.how, k.verified, k.since, k.turns,
       l.shape, l.since AS lead_since, l.size, l.emails, l.kinds, l.known, l.account_domain, l.network
  FROM scoring.link k JOIN scoring.lead l ON l.id = k.lead_id WHERE k.key = ANY ($1::uuid[])"""
RECENT: Final = """
SELECT e.id, e.key, e.weight, e.verdict, e.idx, s.body
  FROM (SELECT unnest($1::uuid[]) AS k) u
  CROSS JOIN LATERAL (SELECT * FROM scoring.event e WHERE e.key = u.k AND e.id >= $2 ORDER BY e.id DESC LIMIT 20) e
  JOIN scoring.segment s ON s.id = e.segment"""
SUPPRESSED: Final = "SELECT hash FROM scoring.suppressed"
SECRET: Final = "SELECT key, erasures FROM scoring.secret"  # noqa: S105 a statement

_bodies: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Found:
    """What a probe found, by raw key."""

    __slots__ = ("known", "leads", "links", "profiles")

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        self.profiles: dict[bytes, Profile] = {}
        self.links: dict[bytes, Link] = {}
        self.leads: dict[bytes, Lead] = {}


async def probe(
    line: Line, ids: list[bytes], side_ids: list[bytes], keys: Collection[bytes], idents: Collection[bytes]
) -> Found:
    """Look up event ids, profiles `keys` and the links of `idents`."""
    found = Found()
    async with line.use() as pg:
        if ids:
            ids.sort()
            rows = await pg.fetch(KNOWN, uuids(ids), UUID(ids[0]), UUID(ids[-1]))
            found.known = {row[0].bytes for row in rows}
        if side_ids:
            found.known |= {row[0].bytes for row in await pg.fetch(KNOWN_SIDE, uuids(sorted(side_ids)))}
        await _profiles(pg, found, keys)
        await _links(pg, found, idents)
    return found


async def probe_more(line: Line, found: Found, keys: Collection[bytes], idents: Collection[bytes]) -> None:
    """Look up what the first probe showed to be needed: generations of cookies."""
    async with line.use() as pg:
        await _profiles(pg, found, keys)
        await _links(pg, found, idents)


async def _profiles(pg: Any, found: Found, keys: Collection[bytes]) -> None:
    if keys:
        for key, kind, value, version, seen, pending, state, traits, mails in await pg.fetch(
            PROFILES, uuids(sorted(keys))
        ):
            found.profiles[key.bytes] = Profile(key.bytes, kind, value, version, seen, pending, state, traits, mails)


async def _links(pg: Any, found: Found, idents: Collection[bytes]) -> None:
    if not idents:
        return
    for row in await pg.fetch(LINKS, uuids(sorted(idents))):
        (
            key,
            kind,
            value,
            lead,
            how,
            verified,
            since,
            turns,
            shape,
            lead_since,
            size,
            emails,
            kinds,
            known,
            account,
            network,
        ) = row
        id_ = lead.bytes
        found.links[key.bytes] = Link(key.bytes, kind, value, id_, how, verified, since, turns or [])
        if id_ not in found.leads:
            found.leads[id_] = Lead(id_, shape, lead_since, size, emails, kinds, known, account, network)


async def recent(line: Line, keys: Iterable[bytes], since_ms: int, names: Names) -> dict[bytes, list[CauseIn]]:
    """What the visitors behind these cookies did since `since_ms`, newest 20 each."""
    causes: dict[bytes, list[CauseIn]] = {}
    async with line.use() as pg:
        rows = await pg.fetch(RECENT, uuids(sorted(keys)), UUID(since_ms.to_bytes(6) + bytes(10)))
    for id_, key, weight, verdict, idx, body in rows:
        raw = bytes(bodies(body)[idx])
        event = read(raw, int.from_bytes(id_.bytes[:6]), names, 1 << 30)
        if isinstance(event, Event):
            wire = event.wire
            causes.setdefault(key.bytes, []).append(
                CauseIn(
                    id_.bytes, event.signal, event.at_ms, event.received_ms, weight, verdict, wire.url, wire.path, wire.link,
                    wire.name, False, event.idents[-1].value,
                )
            )  # fmt: skip
    return causes


def bodies(packed: bytes) -> list[msgspec.Raw]:
    """The raw events of a segment, by their places; a forgotten one is `null`."""
    return _bodies.decode(bytes(cramjam.zstd.decompress(packed)))


def packed_bodies(raw: list[bytes]) -> bytes:
    """A segment's body."""
    return bytes(cramjam.zstd.compress(b"[" + b",".join(raw) + b"]", level=1))


async def suppressed(line: Line) -> tuple[bytes, int, frozenset[bytes]]:
    """The key of the hashes, how many erasures there were, and the hashes of those who asked to be forgotten."""
    async with line.use() as pg:
        # The number first: an erasure in between makes the batch conflict, and is read then.
        secret, erasures = await pg.fetchrow(SECRET)
        return secret, erasures, frozenset(row[0] for row in await pg.fetch(SUPPRESSED))
