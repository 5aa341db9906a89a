"""What a batch reads and writes, in one call each: `notify.look` and `notify.apply` (migration 0012)."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from services.eventlog.fence import FenceArguments
from services.eventlog.ports import Connection
from services.notify.core.desk import Desk, desk, numbered
from services.notify.core.greeting import Greeting
from services.notify.core.message import Needs
from services.notify.core.notice import ALERTS, Notice, decode, encode
from services.notify.store.notices import INBOX_CHANNEL, SITE_CHANNEL, Row

LOOK: Final = (
    "SELECT message, rep, seq, budget_left, budget_at, body"
    " FROM notify.look($1::uuid[], $2::text[], $3::text[], $4::timestamptz, $5::text[], $6::text[], $7::bool)"
)
_TYPES: Final = (
    "text,text,int[],int8[],int8[],int8[]",
    "timestamptz",
    "uuid[],text[],int[],timestamptz[],timestamptz[],timestamptz[]",
    "text[],int8[],int8[],float8[],timestamptz[]",
    "text[],text[],int8[],text[],text[],bool[],text[],timestamptz[],timestamptz[],timestamptz[],timestamptz[],timestamptz[],text[]",
    "text[],text[],text[]",
    "text[],text[],text[],text[],timestamptz[]",
    "text[],text,text",
)
_ALL: Final = ",".join(_TYPES).split(",")
APPLY: Final = f"SELECT notify.apply({', '.join(f'${n}::{kind}' for n, kind in enumerate(_ALL, 1))})"

PASSED: Final[FenceArguments] = ("", "", [], [], [], [])


class Handled(msgspec.Struct, frozen=True, kw_only=True):
    """One message as it is remembered. `kind` is the notice's kind, or the message's when it makes no notice."""

    message_id: UUID
    kind: str
    notices: int
    occurred_at: datetime | None
    received_at: datetime | None
    routed_at: datetime | None


class Seen(msgspec.Struct, frozen=True):
    """What `look` has found.

    Attributes:
        known: Messages that have had their effect already.
        seqs: Rep to the inbox's number, as read: a write holds only while it stands.
        leads: Notice id to the leads that are stored with it.
    """

    known: set[UUID]
    desks: dict[str, Desk]
    seqs: Mapping[str, int]
    leads: Mapping[str, Collection[str]]


async def look(
    pg: Connection, ids: Sequence[UUID], wanted: Needs, now: datetime, window_s: float, *, hold: bool
) -> Seen:
    """Read what the messages may change.

    Args:
        window_s: Alerts join notices at most this old, in seconds.
        hold: Lock the inboxes until the transaction ends, so that the write cannot fail.
    """
    oldest = now - timedelta(seconds=window_s)
    rows = await pg.fetch(
        LOOK, ids, sorted(wanted.reps), list(wanted.keys), oldest, list(wanted.leads), list(wanted.erased), hold
    )
    known: set[UUID] = set()
    desks = {rep: desk(rep, 0, None, None, now) for rep in wanted.reps}
    leads: dict[str, Collection[str]] = {}
    bodies: list[tuple[str, str]] = []
    for message, rep, seq, left, at, body in rows:
        if message is not None:
            known.add(UUID(bytes=message.bytes))
        elif body is None:
            desks[rep] = desk(rep, seq, left, at, now)
        else:
            bodies.append((rep, body))
    for rep, body in bodies:
        notice = decode(body)
        desks[rep].notices[notice.id] = notice
        leads[notice.id] = frozenset(notice.leads)
    return Seen(known, desks, {rep: one.seq for rep, one in desks.items()}, leads)


class Write(msgspec.Struct, frozen=True):
    """One batch, ready to be written. `rows` are the notices as readers will get them, `kinds` for the meters."""

    arguments: list[Any]
    rows: list[Row]
    notices: list[Notice]


def write_of(
    seen: Seen,
    handled: Sequence[Handled],
    greetings: Sequence[tuple[str, Greeting]],
    erased: Sequence[str],
    now: datetime,
) -> Write:
    """The write of a batch, frozen: numbers are given to the changed notices, bodies are encoded.

    Args:
        greetings: (lead id, greeting) pairs; of several for one browser the last counts.
        erased: Leads whose greetings go.
    """
    touched = sorted((one for one in seen.desks.values() if one.changed), key=lambda one: one.rep)
    notices = [notice for one in touched for notice in numbered(one)]
    rows = [_row(notice) for notice in notices]
    pairs = sorted((lead, n.id, n.rep) for n in notices for lead in set(n.leads).difference(seen.leads.get(n.id, ())))
    hails = sorted({g.visitor: (g.visitor, g.id, lead, g.body, g.until) for lead, g in greetings}.values())
    arguments = [
        now,
        *_columns([(m.message_id, m.kind, m.notices, m.occurred_at, m.received_at, m.routed_at) for m in handled], 6),
        *_columns([(d.rep, seen.seqs[d.rep], d.seq, d.budget.left, d.budget.at) for d in touched], 5),
        *_columns([_stored(notice, row) for notice, row in zip(notices, rows, strict=True)], 13),
        *_columns(pairs, 3),
        *_columns(hails, 5),
        list(erased),
        INBOX_CHANNEL,
        SITE_CHANNEL,
    ]
    return Write(arguments, rows, notices)


async def write(pg: Connection, fence: FenceArguments | None, one: Write) -> None:
    """Write a batch: position, messages, inboxes, notices and wake-ups, all or nothing.

    Args:
        fence: None in a transaction that has passed it.

    Raises:
        asyncpg.PostgresError: With a state that `fence.translate` knows: `Fenced`, or `Conflict` when what was read is
            no longer so.
    """
    await pg.execute(APPLY, *(fence or PASSED), *one.arguments)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _row(notice: Notice) -> Row:
    return Row(
        rep=notice.rep,
        seq=notice.seq,
        id=notice.id,
        kind=notice.kind,
        state=notice.state,
        fresh_until=notice.fresh_until if notice.kind in ALERTS else None,
        occurred_at=notice.occurred_at,
        received_at=notice.received_at,
        delivered_at=None,
        body=encode(notice),
    )


def _stored(notice: Notice, row: Row) -> tuple[Any, ...]:
    return (
        row.id, row.rep, row.seq, row.kind, row.state, notice.open, notice.collapse, row.fresh_until, row.occurred_at,
        row.received_at, notice.created_at, notice.updated_at, row.body,
    )  # fmt: skip
