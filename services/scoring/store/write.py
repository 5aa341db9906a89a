"""Writes a folded batch: everything in one call of `scoring.apply`, arguments sorted by key and frozen when packed."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from services.eventlog.fence import FenceArguments
from services.scoring.core.emit import EmitIn
from services.scoring.core.fold import Folded, Reversal, Row
from services.scoring.core.link import Lead, Ties
from services.scoring.core.profile import Profile
from services.scoring.core.read import DAY_MS
from services.scoring.store.packed import UUID_OID, blobs, numbers, texts, uuids

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
# Of the fence and the outbox row the driver packs the arrays itself, as of old; see `packed` for the others.
_PACKED: Final = frozenset(("uuid[]", "bytea[]", "text[]"))
_FIRST: Final = ",".join(TYPES[:2]).split(",")
_ALL: Final = _FIRST + [
    kind if kind in _PACKED or not kind.endswith("[]") else f"text::{kind}" for kind in ",".join(TYPES[2:]).split(",")
]
APPLY: Final = f"SELECT heads, members FROM scoring.apply({', '.join(f'${n}::{t}' for n, t in enumerate(_ALL, 1))})"

# bump of a lead: 0 not told of, 1 told of, 2 told of and its members are read under its lock.
TOLD: Final = 1
READ: Final = 2

OutboxRow = tuple[str | None, str | None, int | None, bytes | None, list[int]]
NO_ROW: Final[OutboxRow] = (None, None, None, None, [])

Columns = tuple[Any, ...]


def body_arguments(done: Folded, ties: Ties, emits: list[EmitIn], erasures: int) -> tuple[list[Any], list[bytes]]:
    """Everything but the fence, the outbox row and the segment. Versions of the profiles move on: call once per batch.

    Args:
        erasures: How many erasures the fold knew of.

    Returns:
        The arguments, and the bodies for the segment in the order of their places.
    """
    ids, side = sorted(done.rows), sorted(done.side)
    rows, aside = [done.rows[id_] for id_ in ids], [done.side[id_] for id_ in side]
    day = max(done.newest_ms, 0) // DAY_MS
    bumps = {emit.lead: READ if emit.only is None and emit.kind != "merged" else TOLD for emit in emits}
    created = {id_: lead for id_, lead in ties.changes.created.items() if lead.merged_into is None}
    body = [
        erasures,
        day,
        *_events(ids, rows, 0),
        *_events(side, aside, len(rows)),
        *_profiles(done.profiles),
        *_reversals(done.reversals),
        uuids(sorted({*done.visitors, *(key for key, _ in ties.changes.joined)})),
        uuids(sorted(done.visitors)),
        *_links(ties),
        *_created(created, bumps),
        *_updated(ties, bumps),
    ]
    return body, [row.event.body for some in (rows, aside) for row in some]


def arguments(fence: FenceArguments, row: OutboxRow, body: list[Any], segment: bytes) -> list[Any]:
    """All arguments of `APPLY`."""
    known, day, *columns = body
    return [*fence, *row, known, day, segment, *columns]


def _turned(rows: list[tuple[Any, ...]], width: int) -> Iterable[tuple[Any, ...]]:
    """Rows as columns."""
    return zip(*rows, strict=True) if rows else [()] * width


def _events(ids: list[bytes], rows: list[Row], first: int) -> Columns:
    return (
        uuids(ids),
        uuids([row.key for row in rows]),
        numbers(list(range(first, first + len(rows)))),
        numbers([row.signal for row in rows]),
        numbers([row.weight for row in rows]),
        numbers([row.verdict for row in rows]),
    )


def _profiles(profiles: Mapping[bytes, Profile]) -> Columns:
    new: list[Profile] = []
    old: list[Profile] = []
    for key in sorted(profiles):
        profile = profiles[key]
        if profile.dirty:
            profile.dirty = False
            (old if profile.version else new).append(profile)
    columns = (
        uuids([one.key for one in new]),
        numbers([one.kind for one in new]),
        texts([one.value for one in new]),
        *_contents(new),
        uuids([one.key for one in old]),
        numbers([one.version for one in old]),
        *_contents(old),
    )
    for profile in new:
        profile.version = 1
    for profile in old:
        profile.version += 1
    return columns


def _contents(profiles: list[Profile]) -> Columns:
    return (
        numbers([one.seen_day for one in profiles]),
        numbers([one.pending for one in profiles]),
        blobs([one.state.tobytes() for one in profiles]),
        blobs([one.packed_traits() for one in profiles]),
        blobs([one.packed_mails() for one in profiles]),
    )


def _reversals(reversals: Mapping[bytes, Reversal]) -> Columns:
    ids = sorted(reversals)
    of = [reversals[id_] for id_ in ids]
    return uuids(ids), numbers([one.weight for one in of]), numbers([one.verdict for one in of])


def _links(ties: Ties) -> Columns:
    changes = ties.changes
    linked = [changes.linked[key] for key in sorted(changes.linked)]
    moved = [ties.links[key] for key in sorted(changes.moved)]
    for link in (*linked, *moved):
        link.lead = ties.root(ties.leads[link.lead]).id
    turned_keys, turned_before, turned_at = _turned(sorted(changes.turned), 3)
    merged = sorted(
        (loser.id, ties.root(winner).id) for loser, winner in changes.merged if loser.id not in changes.created
    )
    return (
        uuids([link.key for link in linked]),
        uuids([link.lead for link in linked]),
        numbers([link.kind for link in linked]),
        texts(link.value for link in linked),
        numbers([link.how for link in linked]),
        numbers([link.verified for link in linked]),
        numbers([link.since for link in linked]),
        uuids([link.key for link in moved]),
        uuids([changes.moved[link.key] for link in moved]),
        uuids([link.lead for link in moved]),
        numbers([link.how for link in moved]),
        numbers([link.verified for link in moved]),
        uuids(turned_keys),
        numbers(turned_before),
        numbers(turned_at),
        uuids([loser for loser, _ in merged]),
        uuids([winner for _, winner in merged]),
    )


def _created(created: Mapping[bytes, Lead], bumps: Mapping[bytes, int]) -> Columns:
    leads = [created[id_] for id_ in sorted(created)]
    bumped = [bumps.get(lead.id, 0) for lead in leads]
    return (
        uuids([lead.id for lead in leads]),
        numbers([min(bump, 1) for bump in bumped]),
        numbers([lead.since for lead in leads]),
        numbers([lead.shape for lead in leads]),
        *_known_of(leads),
        numbers(bumped),
    )


def _updated(ties: Ties, bumps: Mapping[bytes, int]) -> Columns:
    touched, created = ties.changes.touched, ties.changes.created
    leads = [ties.leads[id_] for id_ in sorted({*touched, *bumps}) if id_ not in created]
    return (
        uuids([lead.id for lead in leads]),
        numbers([touched.get(lead.id, lead.shape) for lead in leads]),
        numbers([lead.shape for lead in leads]),
        *_known_of(leads),
        blobs([lead.merged_into for lead in leads], UUID_OID),
        numbers([bumps.get(lead.id, 0) for lead in leads]),
    )


def _known_of(leads: list[Lead]) -> Columns:
    return (
        numbers([lead.size for lead in leads]),
        numbers([lead.emails for lead in leads]),
        numbers([lead.kinds for lead in leads]),
        numbers([lead.known for lead in leads]),
        texts(lead.account for lead in leads),
        texts(lead.network for lead in leads),
    )
