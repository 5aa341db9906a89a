"""A lead as it stands, and as a row."""

from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.messages import LeadScored, Route, Stage, What
from services.eventlog.ports import Connection
from services.router.core.cadence import Running
from services.router.core.model import Before, Held, Outcome

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
WIDTH: Final = len(COLUMNS)
# For `router.apply`.
TYPES: Final = ",".join(f"{kind}[]" for _, kind in COLUMNS)
_plain: Final = attrgetter(*NAMES[:-2])  # memory and snapshot are encoded
MERGES_MAX: Final = 20  # a chain of merges is followed so far
_UUIDS: Final = frozenset(("id", "decision_id", "merged_into"))


class Memory(msgspec.Struct, omit_defaults=True):
    """What little belongs to a lead: its last acts, the reps that gave it back, the cadence of its open assignment.

    Attributes:
        grounds: Of its last decision (`decide.grounds`); None for leads last decided before these were kept.
    """

    recent: list[What] = msgspec.field(default_factory=list)
    refused: list[str] = msgspec.field(default_factory=list)
    cadence: Running | None = None
    grounds: list[str] | None = None


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
            grounds=self.memory.grounds,
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


def row_of(lead: Lead) -> tuple[Any, ...]:
    """The lead as a row, one write further."""
    lead.rev += 1
    return (*_plain(lead), _encode(lead.memory).decode(), _snapshot_text(lead))


def _snapshot_text(lead: Lead) -> str | None:
    return _encode(lead.snapshot).decode() if isinstance(lead.snapshot, LeadScored) else lead.snapshot
