"""What a transaction reads and writes: `router.look`, `router.free` and `router.apply` (migrations 0009 and 0016), one call each.

Nothing needs to be locked in between: a write holds only if every lead, account and pool still stands as it was read.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.messages import Cause
from services.eventlog.fence import FenceArguments
from services.eventlog.ports import Connection, Place
from services.router.core.sla import Timer, TimerKind
from services.router.store import assignments, decisions, leads
from services.router.store.assignments import Change, Offer, held_of
from services.router.store.decisions import Decided
from services.router.store.leads import Lead, lead_of
from services.router.store.pools import PoolState, decode_state, encode_state

LOOK: Final = "SELECT lead, held, event_id, reversed FROM router.look($1::uuid[], $2::uuid[], $3::bool[], $4::bool)"
FREE: Final = (
    "SELECT domain, rep, pool, rev, state, open, given"
    " FROM router.free($1::text[], $2::text[], $3::text[], $4::timestamptz, $5::bool)"
)
_FENCE_TYPES: Final = ["text", "text", "int[]", "int8[]", "int8[]", "int8[]"]
_TYPES: Final = ",".join(
    (
        "uuid[],bool[],uuid[]",
        leads.TYPES,
        "text[],bool[],text[],text[],timestamptz",
        "text[],int[],json[]",
        assignments.CHANGE_TYPES,
        assignments.OFFER_TYPES,
        decisions.TYPES,
        "uuid[],text[]",
        "uuid[],text[],int[],timestamptz[],int[]",
        "uuid[],uuid[]",
    )
).split(",")
_OUT_TYPES: Final = ["text", "int8", "bytea", "int8[]", "text[]", "int[]", "bytea[]", "bytea[]"]
# How an argument travels: JSON as texts; all other columns as one text (`_literal`).
_SENT: Final = ["text[]" if kind == "json[]" else f"text::{kind}" if kind.endswith("[]") else kind for kind in _TYPES]
_ALL: Final = [*_FENCE_TYPES, *_SENT, *_OUT_TYPES]
APPLY: Final = (
    "SELECT put_topic, put_part, put_base, put_at_ms"
    f" FROM router.apply({', '.join(f'${n}::{kind}' for n, kind in enumerate(_ALL, 1))})"
)

# (lane, seq, payload, rows to delete) of `log.outbox`, and the four arguments of `log.put`: one of both is empty.
Outgoing = tuple[
    str | None, int | None, bytes | None, list[int], list[str], list[int], list[bytes | None], list[bytes | None]
]
NOTHING_OUT: Final[Outgoing] = (None, None, None, [], [], [], [], [])
_encode: Final = msgspec.json.Encoder().encode
Seen = tuple[str, bool]  # an event id, and whether it is its reversal


class Account(msgspec.Struct, frozen=True):
    """The rep of an account as it was read; `there`: the account has a row."""

    rep: str | None = None
    there: bool = False


class Free(msgspec.Struct, frozen=True):
    """Accounts by domain, pools by name, and of each rep with a limit how many leads are open and were given today."""

    accounts: dict[str, Account]
    pools: dict[str, PoolState]
    loads: dict[str, tuple[int, int]]


class Write(msgspec.Struct, kw_only=True):
    """Everything that a transaction writes, beside its position and its messages.

    Attributes:
        reps: Domain to the account as it was read, and the rep that it has now.
        put: Timers with the partitions of their leads; the last of a kind and lead counts.
        gone: Leads that have nothing to wait for any more; `forgotten`: those whose traces are erased.
    """

    at: datetime
    causes: list[tuple[str, bool, str]] = msgspec.field(default_factory=list)
    leads: list[Lead] = msgspec.field(default_factory=list)
    reps: Mapping[str, tuple[Account, str]] = msgspec.field(default_factory=dict)
    pools: Mapping[str, PoolState] = msgspec.field(default_factory=dict)
    changes: list[Change] = msgspec.field(default_factory=list)
    offers: list[Offer] = msgspec.field(default_factory=list)
    decided: list[Decided] = msgspec.field(default_factory=list)
    drop: Collection[tuple[str, TimerKind]] = ()
    put: Collection[tuple[Timer, int]] = ()
    gone: Collection[str] = ()
    forgotten: Collection[str] = ()


async def look(
    pg: Connection, ids: Collection[str], causes: Sequence[tuple[Cause, str]] = (), *, hold: bool
) -> tuple[dict[str, Lead], set[Seen]]:
    """Read those of the leads that exist, and which events have been looked at already.

    Args:
        causes: Pairs of an event and its lead.
        hold: Lock the leads, in id order as everybody does, until the transaction ends.
    """
    rows = await pg.fetch(
        LOOK, sorted(ids), [cause.event_id for cause, _ in causes], [cause.reversed for cause, _ in causes], hold
    )
    found: dict[str, Lead] = {}
    seen: set[Seen] = set()
    for row, held, event_id, reversed_ in rows:
        if row is None:
            seen.add((event_id.hex, reversed_))
            continue
        lead = lead_of(row)
        lead.held = held_of(held) if held is not None else None
        found[lead.id] = lead
    return found, seen


async def free(
    pg: Connection,
    domains: Collection[str],
    pools: Collection[str],
    reps: Collection[str],
    day: datetime,
    *,
    hold: bool,
) -> Free:
    """Read what giving away needs.

    Args:
        reps: Those with a limit only: then counting their leads is bounded by it.
        hold: Lock accounts and pools until the transaction ends.
    """
    found = Free({domain: Account() for domain in domains}, {name: PoolState() for name in pools}, {})
    if not domains and not pools:
        return found
    for domain, rep, pool, rev, state, opened, given in await pg.fetch(
        FREE, sorted(domains), sorted(pools), sorted(reps), day, hold
    ):
        if domain is not None:
            found.accounts[domain] = Account(rep, there=True)
        elif pool is not None:
            found.pools[pool] = decode_state(state, rev)
        else:
            found.loads[rep] = opened, given
    return found


async def write(pg: Connection, fence: FenceArguments, out: Outgoing, columns: Sequence[Any]) -> Sequence[Place]:
    """Write it all, or nothing. Returns where the messages lie that went into the log itself.

    Args:
        fence: As `fence_arguments` gives it; without partitions in a transaction that holds the lease already.
        columns: As `arguments` gives them.

    Raises:
        asyncpg.PostgresError: With a state that `fence.translate` knows: `Fenced`, or `Conflict` when what was read is
            no longer so.
    """
    rows: Sequence[Place] = await pg.fetch(APPLY, *fence, *columns, *out)
    return rows


async def arguments(one: Write) -> list[Any]:
    """What `one` is in arguments, each kind in the order of its key. The revisions of the leads move on: call once."""
    columns: list[Any] = []
    for group in _groups(one):
        for column, sent in zip(group, _SENT[len(columns) :], strict=False):
            columns.append(_literal(column) if sent.startswith("text::") else column)
        await asyncio.sleep(0)  # PostgreSQL may wait for the rest of the batch before
    return columns


def _groups(one: Write) -> Iterator[Sequence[Any]]:
    put = {(timer.lead_id, timer.kind): (part, timer.due_at, timer.gen) for timer, part in one.put}
    last = {change.held.id: change for change in one.changes}
    # An assignment that ends makes room for the one that its lead gets from a merged lead.
    changes = sorted(last.values(), key=lambda change: change.ended_at is None)
    reps = sorted(one.reps.items())
    yield _columns(sorted(one.causes), 3)
    touched = sorted(one.leads, key=lambda lead: lead.id)
    rows = [leads.row_of(lead) for lead in touched]
    # Most decisions hold the very snapshot that their lead stands at.
    encoded = {id(lead.snapshot): row[-1] for lead, row in zip(touched, rows, strict=True)}
    yield _columns(rows, leads.WIDTH)
    yield _columns([(domain, was.there, was.rep, rep) for domain, (was, rep) in reps], 4)
    yield (one.at,)
    yield _columns([(name, state.rev, encode_state(state)) for name, state in sorted(one.pools.items())], 3)
    yield _columns([assignments.change_row(change) for change in changes], assignments.CHANGE_WIDTH)
    yield _columns([assignments.offer_row(offer) for offer in one.offers], assignments.OFFER_WIDTH)
    yield _columns(
        [decisions.row_of(decided, encoded.get(id(decided.record.snapshot))) for decided in one.decided],
        decisions.WIDTH,
    )
    yield _columns(sorted(one.drop), 2)
    yield _columns([(*key, *put[key]) for key in sorted(put)], 5)
    yield sorted(one.gone), list(one.forgotten)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True)) if rows else [()] * width


def _literal(values: Sequence[Any]) -> str:
    """An array as the server writes it, which is JSON but for the brackets and what stands behind a backslash.

    The driver asks of every element what it is, at about a microsecond each, and a decision has some eighty.
    """
    text = _encode(values).decode()
    if "\\" in text:
        text = f"[{','.join(['null' if value is None else _quoted(value) for value in values])}]"
    return f"{{{text[1:-1]}}}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
