"""Writes a folded batch: everything in one call of `scoring.apply`, arguments sorted by key and frozen when packed."""

from collections.abc import Mapping
from typing import Any, Final

from asyncpg.pgproto.pgproto import UUID

from services.eventlog.fence import FenceArguments
from services.scoring.core.emit import EmitIn
from services.scoring.core.fold import Folded, Reversal, Row, new_rows
from services.scoring.core.link import Lead, Ties
from services.scoring.core.profile import Profile
from services.scoring.core.read import DAY_MS
from services.scoring.store.probe import packed_bodies, uuids

TYPES: Final = (
    "text,text,int4[],int8[],int8[],int8[]",
    "text,text,int8,bytea,int8[]",
    "int8,int4,bytea",
    "uuid[],uuid[],int2[],int2[],int2[],int2[]",
    "uuid[],uuid[],int2[],int2[],int2[],int2[]",
    "uuid[],int2[],text[],int4[],int4[],bytea[],bytea[],bytea[]",
    "uuid[],int4[],int4[],int4[],bytea[],bytea[],bytea[]",
    "uuid[],int2[],int2[]",
    "uuid[],uuid[]",
    "uuid[],uuid[],int2[],text[],int2[],bool[],int8[]",
    "uuid[],uuid[],uuid[],int2[],bool[]",
    "uuid[],int4[],int8[]",
    "uuid[],uuid[]",
    "uuid[],int8[],int8[],int4[],int2[],int2[],int2[],bool[],text[],text[],int2[]",
    "uuid[],int4[],int4[],int2[],int2[],int2[],bool[],text[],text[],uuid[],int2[]",
)
_ALL: Final = ",".join(TYPES).split(",")
APPLY: Final = f"SELECT heads, members FROM scoring.apply({', '.join(f'${n}::{t}' for n, t in enumerate(_ALL, 1))})"

# bump of a lead: 0 not told of, 1 told of, 2 told of and its members are read under its lock.
TOLD: Final = 1
READ: Final = 2

OutboxRow = tuple[str | None, str | None, int | None, bytes | None, list[int]]
NO_ROW: Final[OutboxRow] = (None, None, None, None, [])

Columns = tuple[list[Any], ...]


def body_arguments(done: Folded, ties: Ties, emits: list[EmitIn], erasures: int) -> list[Any]:
    """Everything but the fence and the outbox row. Versions of the profiles move on: call once per batch.

    Args:
        erasures: How many erasures the fold knew of.
    """
    rows = new_rows(done)
    place = {row.event.id: number for number, row in enumerate(rows)} if done.side else None
    day = max(done.newest_ms, 0) // DAY_MS
    bumps = {emit.lead: READ if emit.only is None and emit.kind != "merged" else TOLD for emit in emits}
    created = {id_: lead for id_, lead in ties.changes.created.items() if lead.merged_into is None}
    return [
        erasures,
        day,
        packed_bodies([row.event.body for row in rows]) if rows else b"",
        *_events(done.rows, place),
        *_events(done.side, place),
        *_profiles(done.profiles),
        *_reversals(done.reversals),
        uuids(sorted({*done.visitors, *(key for key, _ in ties.changes.joined)})),
        uuids(sorted(done.visitors)),
        *_links(ties),
        *_created(created, bumps),
        *_updated(ties, bumps),
    ]


def arguments(fence: FenceArguments, row: OutboxRow, body: list[Any]) -> list[Any]:
    """All arguments of `APPLY`."""
    return [*fence, *row, *body]


def _columns(rows: list[tuple[Any, ...]], width: int) -> Columns:
    return tuple(map(list, zip(*rows, strict=True))) if rows else tuple([] for _ in range(width))


def _events(rows: Mapping[bytes, Row], place: Mapping[bytes, int] | None) -> Columns:
    ids = sorted(rows)
    of = [rows[id_] for id_ in ids]
    return (
        uuids(ids),
        uuids([row.key for row in of]),
        list(range(len(ids))) if place is None else [place[id_] for id_ in ids],
        [row.signal for row in of],
        [row.weight for row in of],
        [row.verdict for row in of],
    )


def _profiles(profiles: Mapping[bytes, Profile]) -> list[list[Any]]:
    new: list[tuple[Any, ...]] = []
    old: list[tuple[Any, ...]] = []
    for key in sorted(profiles):
        profile = profiles[key]
        if not profile.dirty:
            continue
        profile.dirty = False
        rest = (
            profile.seen_day, profile.pending, profile.state.tobytes(), profile.packed_traits(), profile.packed_mails(),
        )  # fmt: skip
        if profile.version == 0:
            new.append((UUID(key), profile.kind, profile.value, *rest))
        else:
            old.append((UUID(key), profile.version, *rest))
        profile.version += 1
    return [*_columns(new, 8), *_columns(old, 7)]


def _reversals(reversals: Mapping[bytes, Reversal]) -> Columns:
    ids = sorted(reversals)
    return uuids(ids), [reversals[id_].weight for id_ in ids], [reversals[id_].verdict for id_ in ids]


def _links(ties: Ties) -> list[list[Any]]:
    changes = ties.changes
    linked: list[tuple[Any, ...]] = []
    for key in sorted(changes.linked):
        link = changes.linked[key]
        link.lead = ties.root(ties.leads[link.lead]).id
        linked.append((UUID(key), UUID(link.lead), link.kind, link.value, link.how, link.verified, link.since))
    moved: list[tuple[Any, ...]] = []
    for key in sorted(changes.moved):
        link = ties.links[key]
        link.lead = ties.root(ties.leads[link.lead]).id
        moved.append((UUID(key), UUID(changes.moved[key]), UUID(link.lead), link.how, link.verified))
    turned = sorted((UUID(key), before, at) for key, before, at in changes.turned)
    merged = sorted(
        (UUID(loser.id), UUID(ties.root(winner).id))
        for loser, winner in changes.merged
        if loser.id not in changes.created
    )
    return [*_columns(linked, 7), *_columns(moved, 5), *_columns(turned, 3), *_columns(merged, 2)]


def _created(created: Mapping[bytes, Lead], bumps: Mapping[bytes, int]) -> Columns:
    rows: list[tuple[Any, ...]] = []
    for id_ in sorted(created):
        lead, bump = created[id_], bumps.get(id_, 0)
        rows.append(
            (
                UUID(id_), 1 if bump else 0, lead.since, lead.shape, lead.size, lead.emails, lead.kinds, lead.known, lead.account,
                lead.network, bump,
            )
        )  # fmt: skip
    return _columns(rows, 11)


def _updated(ties: Ties, bumps: Mapping[bytes, int]) -> Columns:
    touched = ties.changes.touched
    rows: list[tuple[Any, ...]] = []
    for id_ in sorted({*touched, *bumps}):
        if id_ in ties.changes.created:
            continue
        lead = ties.leads[id_]
        rows.append(
            (
                UUID(id_), touched.get(id_, lead.shape), lead.shape, lead.size, lead.emails, lead.kinds, lead.known, lead.account,
                lead.network, UUID(lead.merged_into) if lead.merged_into else None, bumps.get(id_, 0),
            )
        )  # fmt: skip
    return _columns(rows, 11)
