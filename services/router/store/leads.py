"""The leads as they stand: locked in id order, written back in one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import asyncpg
import msgspec

from schemas.messages import LeadScored, Route, Stage, What
from services.eventlog.ports import Connection
from services.router.core.model import Before, Held, Outcome
from services.runtime.errors import Conflict

COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("id", "uuid"),
    ("part", "int"),
    ("rev", "int"),
    ("version", "bigint"),
    ("created_at", "timestamptz"),
    ("updated_at", "timestamptz"),
    ("known", "boolean"),
    ("email", "text"),
    ("name", "text"),
    ("title", "text"),
    ("domain", "text"),
    ("account_name", "text"),
    ("segment", "text"),
    ("stage", "text"),
    ("route", "text"),
    ("track", "text"),
    ("pool", "text"),
    ("assignee", "text"),
    ("outcome", "text"),
    ("gen", "int"),
    ("decisions", "int"),
    ("decision_id", "uuid"),
    ("decided_at", "timestamptz"),
    ("cooldown_until", "timestamptz"),
    ("cooldown_reason", "text"),
    ("waiting_until", "timestamptz"),
    ("waiting_reason", "text"),
    ("merged_into", "uuid"),
    ("erased", "boolean"),
    ("memory", "json"),
    ("snapshot", "json"),
)
NAMES: Final = tuple(name for name, _ in COLUMNS)
_NAMES: Final = ", ".join(NAMES)
_plain: Final = attrgetter(*NAMES[:-2])  # memory and snapshot are encoded
# unnest knows no json arrays without a cast of each element: they travel as text.
_ARRAYS: Final = ", ".join(f"${i}::{'text' if kind == 'json' else kind}[]" for i, (_, kind) in enumerate(COLUMNS, 1))
_SET: Final = ", ".join(
    f"{name} = u.{name}{'::json' if kind == 'json' else ''}" for name, kind in COLUMNS[1:] if name != "created_at"
)
LOCK: Final = f"SELECT {_NAMES} FROM router.lead WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE"
UPDATE: Final = (
    f"UPDATE router.lead l SET {_SET} FROM unnest({_ARRAYS}) AS u({_NAMES}) WHERE l.id = u.id AND l.rev = u.rev - 1"
)
MADE_MEANWHILE: Final = "a lead was made by somebody else at the same moment"
MERGES_MAX: Final = 20  # a chain of merges is followed so far
_UUIDS: Final = frozenset(("id", "decision_id", "merged_into"))


class Memory(msgspec.Struct, omit_defaults=True):
    """Small lists that belong to a lead: its last acts, and the reps that gave it back."""

    recent: list[What] = msgspec.field(default_factory=list)
    refused: list[str] = msgspec.field(default_factory=list)


_snapshots: Final = msgspec.json.Decoder(LeadScored)
_memories: Final = msgspec.json.Decoder(Memory)
_encode: Final = msgspec.json.Encoder().encode


class Lead(msgspec.Struct, kw_only=True):
    """One lead in a transaction. `held` is its open assignment; `rev` counts the writes of the row, 0: not there yet."""

    id: str
    part: int
    created_at: datetime
    updated_at: datetime
    rev: int = 0
    version: int = 0
    known: bool = False
    email: str | None = None
    name: str | None = None
    title: str | None = None
    domain: str | None = None
    account_name: str | None = None
    segment: str | None = None
    stage: Stage = "unknown"
    route: Route = "nurture"
    track: str | None = None
    pool: str | None = None
    assignee: str | None = None
    outcome: Outcome | None = None
    gen: int = 0
    decisions: int = 0
    decision_id: str | None = None
    decided_at: datetime | None = None
    cooldown_until: datetime | None = None
    cooldown_reason: str | None = None
    waiting_until: datetime | None = None
    waiting_reason: str | None = None
    merged_into: str | None = None
    erased: bool = False
    memory: Memory = msgspec.field(default_factory=Memory)
    snapshot: LeadScored | str | None = None
    held: Held | None = None

    @property
    def gone(self) -> bool:
        """Nothing is decided for it any more."""
        return self.erased or self.merged_into is not None

    def scored(self) -> LeadScored | None:
        """The newest snapshot; decoded when first asked for."""
        if isinstance(self.snapshot, str):
            self.snapshot = _snapshots.decode(self.snapshot)
        return self.snapshot

    def take(self, snapshot: LeadScored) -> None:
        """Put in a newer snapshot. Its causes are not kept with it."""
        self.snapshot = without_causes(snapshot)
        self.version, self.known = snapshot.version, snapshot.known
        person, account = snapshot.person, snapshot.account
        self.email, self.name, self.title = person.email, person.name, person.title
        self.domain = account.domain if account is not None else None
        self.account_name = account.name if account is not None else None

    def before(self) -> Before:
        """The lead as a decision looks back at it."""
        return Before(
            stage=self.stage,
            segment=self.segment,
            route=self.route,
            track=self.track,
            assignee=self.assignee,
            pool=self.pool,
            outcome=self.outcome,
            cooldown_until=self.cooldown_until,
            cooldown_reason=self.cooldown_reason,
            waiting_until=self.waiting_until,
            held=self.held,
            decided=self.decisions > 0,
            refused=list(self.memory.refused),
        )


def without_causes(snapshot: LeadScored) -> LeadScored:
    """The snapshot as it is kept: its causes have their own place."""
    return msgspec.structs.replace(snapshot, causes=[]) if snapshot.causes else snapshot


def lead_of(row: Any) -> Lead:
    """A row of `router.lead` as a Lead, without its assignment."""
    values = {name: (v.hex if name in _UUIDS and v is not None else v) for name, v in row.items()}
    values["memory"] = _memories.decode(values["memory"])
    return Lead(**values)


async def lock_leads(pg: Connection, ids: Collection[str]) -> dict[str, Lead]:
    """Lock and read those of `ids` that exist, in id order as everybody does; assignments are read separately."""
    rows = await pg.fetch(LOCK, sorted(ids))
    return {lead.id: lead for lead in map(lead_of, rows)}


async def resolve(pg: Connection, lead_id: str) -> str | None:
    """The lead that lives on under this id: itself, or what it was merged into; None when there is none."""
    for _ in range(MERGES_MAX):
        row = await pg.fetchrow("SELECT merged_into FROM router.lead WHERE id = $1::uuid", lead_id)
        if row is None:
            return None
        if row["merged_into"] is None:
            return lead_id
        lead_id = row["merged_into"].hex
    return None


async def save_leads(pg: Connection, leads: Sequence[Lead]) -> None:
    """Write the leads back.

    Raises:
        Conflict: A lead that was not there when we looked has been made by somebody else meanwhile.
    """
    ordered = sorted(leads, key=lambda one: one.id)
    new = [lead for lead in ordered if lead.rev == 0]
    known = [lead for lead in ordered if lead.rev > 0]
    written = 0
    if new:
        try:
            await pg.copy_records_to_table("lead", schema_name="router", columns=NAMES, records=map(_row, new))
        except asyncpg.UniqueViolationError as error:
            raise Conflict(MADE_MEANWHILE) from error
    if known:
        columns = [list(column) for column in zip(*map(_row, known), strict=True)]
        written = int((await pg.execute(UPDATE, *columns)).rsplit(" ", 1)[1])
    if written != len(known):
        raise Conflict(MADE_MEANWHILE)


def _row(lead: Lead) -> tuple[Any, ...]:
    """The lead as a row, one write further."""
    lead.rev += 1
    return (*_plain(lead), _encode(lead.memory).decode(), _snapshot_text(lead))


def _snapshot_text(lead: Lead) -> str | None:
    return _encode(lead.snapshot).decode() if isinstance(lead.snapshot, LeadScored) else lead.snapshot
