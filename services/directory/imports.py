"""Takes whole files into the directory: accounts from CSV (good rows are kept), the team from YAML (all or nothing)."""

import asyncio
from dataclasses import asdict
from typing import Any

import msgspec

from services.directory.core.accounts_csv import AccountRow, AccountsFile, BadRow, parse_accounts
from services.directory.core.people import Account, Rep
from services.directory.core.team_yaml import RepRow, parse_team
from services.directory.store import DirectoryStore


class ImportResult(msgspec.Struct, kw_only=True):
    """What became of a file of accounts. `bad` tells at most 1,000 of `bad_total` problems."""

    added: int
    updated: int
    unchanged: int
    bad: list[BadRow]
    bad_total: int
    ignored_columns: list[str]


async def import_accounts(store: DirectoryStore, body: bytes) -> ImportResult:
    """Insert or update accounts from a CSV file; a second time it changes nothing.

    Columns that the file does not have stay as they are; an empty cell clears its field.

    Raises:
        FieldError: When no row can be read (core/accounts_csv.py).
    """
    async with store.reading() as pg:
        reps, taken = await store.reps(pg), await store.networks(pg)
    # Sixteen MiB take seconds to read: not on the loop, and not while a transaction is open.
    parsed: AccountsFile = await asyncio.to_thread(parse_accounts, body, reps, taken)
    async with store.changing("accounts") as pg:
        before = await store.accounts_of(pg, [row.domain for row in parsed.rows])
        counts = await store.write_accounts(pg, [_account(row, before.get(row.domain)) for row in parsed.rows], before)
    return ImportResult(
        **asdict(counts), bad=parsed.bad, bad_total=parsed.bad_total, ignored_columns=parsed.ignored_columns
    )


async def import_team(store: DirectoryStore, text: str) -> dict[str, dict[str, int]]:
    """Insert or update reps and pools from a YAML file; a second time it changes nothing.

    Keys that the file does not write stay as they are; so do reps and pools that it does not name.

    Returns:
        `{"reps": {added, updated, unchanged}, "pools": {…}}`.

    Raises:
        TeamError: With every problem and its line; nothing is changed.
    """
    async with store.reading() as pg:
        known = await store.reps(pg)
    team = await asyncio.to_thread(parse_team, text, known)
    async with store.changing("people") as pg:
        known = await store.reps(pg)
        reps = await store.write_reps(pg, [_rep(row, known.get(row.id)) for row in team.reps], known)
        pools = await store.write_pools(pg, team.pools, await store.pools(pg))
    return {"reps": asdict(reps), "pools": asdict(pools)}


def _account(row: AccountRow, before: Account | None) -> Account:
    return msgspec.structs.replace(before or Account(domain=row.domain), **row.values)


def _rep(row: RepRow, before: Rep | None) -> Rep:
    changed: dict[str, Any] = {**row.values, "absences": row.absences}
    return msgspec.structs.replace(before or Rep(id=row.id), **changed)
