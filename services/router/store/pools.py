"""The assigner's memory: credits of each pool, and the rep that each account has. Locked accounts first, then pools."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec

from services.eventlog.ports import Connection

MAKE_ACCOUNTS: Final = (
    "INSERT INTO router.account_rep (domain) SELECT unnest($1::text[]) ON CONFLICT (domain) DO NOTHING RETURNING domain"
)
LOCK_ACCOUNTS: Final = (
    "SELECT domain, rep_id FROM router.account_rep WHERE domain = ANY($1::text[]) ORDER BY domain FOR NO KEY UPDATE"
)
SAVE_ACCOUNTS: Final = """
UPDATE router.account_rep a SET rep_id = u.rep_id, since = $3
FROM unnest($1::text[], $2::text[]) AS u(domain, rep_id) WHERE a.domain = u.domain
"""
MAKE_POOLS: Final = (
    "INSERT INTO router.pool_state (pool, state) SELECT unnest($1::text[]), '{}' ON CONFLICT (pool) DO NOTHING"
)
LOCK_POOLS: Final = (
    "SELECT pool, state FROM router.pool_state WHERE pool = ANY($1::text[]) ORDER BY pool FOR NO KEY UPDATE"
)
SAVE_POOLS: Final = """
UPDATE router.pool_state p SET state = u.state::json FROM unnest($1::text[], $2::text[]) AS u(pool, state)
WHERE p.pool = u.pool
"""


class PoolState(msgspec.Struct, omit_defaults=True):
    """One pool: what each rep is owed, in `assign.UNIT`s, and when each last got a lead."""

    credits: dict[str, int] = msgspec.field(default_factory=dict)
    last: dict[str, datetime] = msgspec.field(default_factory=dict)


_states: Final = msgspec.json.Decoder(PoolState)
_encode: Final = msgspec.json.Encoder().encode


async def lock_accounts(pg: Connection, domains: Collection[str]) -> dict[str, str | None]:
    """Domain to the account's rep, None where it has none yet; held until the transaction ends."""
    wanted = sorted(domains)
    if not wanted:
        return {}
    # What we have made ourselves is ours until we commit: only the others need a lock.
    found: dict[str, str | None] = dict.fromkeys(row["domain"] for row in await pg.fetch(MAKE_ACCOUNTS, wanted))
    known = [domain for domain in wanted if domain not in found]
    if known:
        found.update((row["domain"], row["rep_id"]) for row in await pg.fetch(LOCK_ACCOUNTS, known))
    return found


async def save_accounts(pg: Connection, reps: Mapping[str, str], now: datetime) -> None:
    """Write the reps of locked accounts."""
    if reps:
        await pg.execute(SAVE_ACCOUNTS, list(reps), list(reps.values()), now)


async def lock_pools(pg: Connection, names: Collection[str]) -> dict[str, PoolState]:
    """Pool to its state; held until the transaction ends."""
    wanted = sorted(names)
    if not wanted:
        return {}
    await pg.execute(MAKE_POOLS, wanted)
    return {row["pool"]: _states.decode(row["state"]) for row in await pg.fetch(LOCK_POOLS, wanted)}


async def save_pools(pg: Connection, states: Mapping[str, PoolState]) -> None:
    """Write the states of locked pools."""
    if states:
        await pg.execute(SAVE_POOLS, list(states), [_encode(state).decode() for state in states.values()])
