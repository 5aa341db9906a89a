"""Reads and writes a sweep: how far is it, which leads come next, and one step of telling them anew."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from prometheus_client import Counter

from services.runtime.db import Database
from services.runtime.telemetry import REGISTRY
from services.scoring.core.emit import framed

Kind = Literal["directory", "policy"]

SWEPT = Counter(
    "leadrouter_leads_swept_total",
    "Leads told anew though nothing happened to them, by what changed: directory, policy",
    ["kind"],
    registry=REGISTRY,
)

STATE: Final = "SELECT kind, done, wanted, looked, told, started_at, finished_at FROM scoring.sweep WHERE kind = $1"
HELD: Final = "SELECT done, wanted, cursor FROM scoring.sweep WHERE kind = $1 FOR UPDATE"
BEGIN: Final = """
UPDATE scoring.sweep SET wanted = $2, cursor = '00000000-0000-0000-0000-000000000000', looked = 0, told = 0, started_at = now(), finished_at = NULL
 WHERE kind = $1"""
MOVE: Final = "UPDATE scoring.sweep SET cursor = $2, looked = looked + $3, told = told + $4 WHERE kind = $1"
FINISH: Final = (
    "UPDATE scoring.sweep SET done = greatest(done, wanted), wanted = NULL, finished_at = now() WHERE kind = $1"
)
TELLABLE: Final = "merged_into IS NULL AND (known OR account_domain IS NOT NULL)"
COUNT: Final = f"SELECT count(*) FROM scoring.lead WHERE {TELLABLE}"
# A page in the order of ids; `hits` are those that may have to be told. Whose company is not known by its domain may
# have named it: the caller looks.
PAGE: Final = f"""
WITH page AS MATERIALIZED (
    SELECT id, {TELLABLE} AND ($3::text[] IS NULL OR account_domain IS NULL OR account_domain = ANY ($3) OR network = ANY ($3)) AS hit
      FROM scoring.lead WHERE id > $1 ORDER BY id LIMIT $2)
SELECT id, hit FROM page ORDER BY id"""
LOCK: Final = f"""
SELECT id, known, account_domain, network FROM scoring.lead WHERE id = ANY ($1::uuid[]) AND {TELLABLE} ORDER BY id FOR UPDATE"""
RAISE: Final = "UPDATE scoring.lead SET version = version + 1 WHERE id = ANY ($1::uuid[]) RETURNING id, version"
STATES: Final = """
SELECT l.lead_id, l.kind, l.verified, l.since, l.value, coalesce(p.state, '') AS state, coalesce(p.traits, '') AS traits
  FROM scoring.link l LEFT JOIN scoring.profile p ON p.key = l.key WHERE l.lead_id = ANY ($1::uuid[])"""


class Progress(msgspec.Struct, frozen=True):
    """How far a sweep is. `wanted` None: none is under way."""

    kind: str
    done: int
    wanted: int | None
    looked: int
    told: int
    started_at: datetime | None
    finished_at: datetime | None


class Swept(msgspec.Struct, frozen=True):
    """A lead that may be told anew."""

    id: bytes
    known: bool
    account: str | None
    network: str | None


class SweepStore:
    """What others ask and want of sweeps."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def progress(self, kind: Kind) -> Progress:
        """How far it is."""
        async with self._db.raw() as pg:
            return Progress(*await pg.fetchrow(STATE, kind))

    async def preview(self) -> int:
        """How many leads a sweep for a policy would tell anew."""
        async with self._db.raw() as pg:
            return int(await pg.fetchval(COUNT))

    async def state(self) -> dict[str, Any]:
        """How far the sweep for a policy is, for people."""
        one = await self.progress("policy")
        return {
            "state": "running" if one.wanted is not None else "idle",
            "version": one.wanted or one.done or None,
            "looked": one.looked,
            "told": one.told,
            "started_at": one.started_at,
            "finished_at": one.finished_at,
        }

    async def begin(self, version: int) -> None:
        """Put this version of the policy to every lead; one under way begins anew."""
        async with self._db.raw() as pg:
            await pg.execute(BEGIN, "policy", version)


async def page(pg: Any, after: UUID, size: int, domains: Sequence[str] | None) -> list[tuple[UUID, bool]]:
    """The next leads in the order of their ids, and whether each may have to be told."""
    return [(row[0], row[1]) for row in await pg.fetch(PAGE, after, size, domains)]


async def lock(pg: Any, ids: Sequence[UUID]) -> list[Swept]:
    """Those that can still be told, locked until the transaction ends."""
    return [Swept(row[0].bytes, row[1], row[2], row[3]) for row in await pg.fetch(LOCK, ids)]


async def members(pg: Any, ids: Sequence[UUID]) -> dict[bytes, bytes]:
    """Lead to its members, packed as `scoring.apply` does it."""
    found: dict[bytes, bytes] = {}
    for r in await pg.fetch(STATES, ids):
        lead = r["lead_id"].bytes
        found[lead] = found.get(lead, b"") + framed(
            lead, r["kind"].to_bytes(2), bytes([r["verified"]]), r["since"].to_bytes(8), r["value"].encode(), r["state"], r["traits"]
        )  # fmt: skip
    return found


async def raised(pg: Any, ids: Sequence[UUID]) -> bytes:
    """The leads with their next versions, packed as `scoring.apply` does it."""
    rows = await pg.fetch(RAISE, ids)
    return b"".join(row[0].bytes + row[1].to_bytes(8) for row in rows)
