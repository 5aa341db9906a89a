"""What lies in the tables? Reads and writes of the schema `directory`.

Every write locks the one row of `directory.state` first, raises its version and says so on the channel `directory_changed`;
every process then loads what changed into a new `DirectoryView` (store.py).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
import msgspec
import sqlalchemy as sa

from services.directory import changes, tables
from services.directory.core.accounts import Accounts
from services.directory.core.match import DirectoryView
from services.directory.core.people import Absence, Account, Member, Pool, Rep
from services.runtime.db import Database
from services.runtime.errors import Refused

CHANNEL: Final = "directory_changed"
CHUNK = 5000  # rows in one statement of an import

_ACCOUNT_FIELDS: Final = ("domain", "name", "industry", "employees", "country", "named", "owner", "networks")
_REP_FIELDS: Final = (
    "id", "name", "title", "email", "timezone", "hours", "country", "languages", "capacity_per_day", "capacity_open", "manager",
    "meeting_link", "active", "alerts_paused_until",
)  # fmt: skip
_REP_TYPES: Final = (
    "text", "text", "text", "text", "text", "text", "text", "text", "int", "int", "text", "text", "bool", "timestamptz",
)  # fmt: skip
_ABSENCE_FROM: Final = sa.text("now() - interval '400 days'")


@dataclass
class Counts:
    """What a save changed."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0


class DirectoryStore:
    """Reads and writes. Every method is one transaction unless it takes `pg`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    @contextlib.asynccontextmanager
    async def changing(self, part: Literal["accounts", "people"]) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A transaction that changes a part of the directory; other writers wait, readers do not."""
        async with self._db.transaction() as pg:
            await pg.fetchval("SELECT version FROM directory.state FOR UPDATE")
            yield pg
            version = await pg.fetchval(
                f"UPDATE directory.state SET version = version + 1, {part} = version + 1 RETURNING version"
            )
            await pg.execute("SELECT pg_notify($1, $2)", CHANNEL, str(version))

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy]:
        """A connection to read with."""
        async with self._db.raw() as pg:
            yield pg

    # -- accounts

    async def save_accounts(self, accounts: Sequence[Account]) -> Counts:
        """Insert or update; what is equal is left alone."""
        async with self.changing("accounts") as pg:
            before = await self.accounts_of(pg, [account.domain for account in accounts])
            return await self.write_accounts(pg, accounts, before)

    async def accounts_of(self, pg: asyncpg.pool.PoolConnectionProxy, domains: Sequence[str]) -> dict[str, Account]:
        """The accounts of these domains, as they are now."""
        rows = await pg.fetch(
            f"SELECT {', '.join(_ACCOUNT_FIELDS)} FROM directory.account WHERE domain = ANY($1)", list(domains)
        )
        return {row["domain"]: _account(row) for row in rows}

    async def networks(self, pg: asyncpg.pool.PoolConnectionProxy) -> dict[str, str]:
        """Every claimed network and the domain that claims it."""
        rows = await pg.fetch(
            "SELECT domain, networks FROM directory.account WHERE networks <> '{}' ORDER BY domain DESC"
        )
        return {network: row["domain"] for row in rows for network in row["networks"]}

    async def write_accounts(
        self, pg: asyncpg.pool.PoolConnectionProxy, accounts: Sequence[Account], before: Mapping[str, Account]
    ) -> Counts:
        """Save what differs from `before`, inside a transaction of `changing`."""
        changed = [account for account in accounts if before.get(account.domain) != account]
        await changes.note(pg, [account.domain for account in changed])
        added = sum(account.domain not in before for account in changed)
        for start in range(0, len(changed), CHUNK):
            chunk = changed[start : start + CHUNK]
            # Networks travel as one text a row: unnest takes arrays of arrays apart.
            columns = [[getattr(account, name) for account in chunk] for name in _ACCOUNT_FIELDS[:-1]]
            await pg.execute(
                """
                INSERT INTO directory.account AS a (domain, name, industry, employees, country, named, owner, networks)
                SELECT u.domain, u.name, u.industry, u.employees, u.country, u.named, u.owner, string_to_array(u.networks, ' ')
                FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bool[], $7::text[], $8::text[])
                    AS u(domain, name, industry, employees, country, named, owner, networks)
                ON CONFLICT (domain) DO UPDATE SET name = excluded.name, industry = excluded.industry,
                    employees = excluded.employees, country = excluded.country, named = excluded.named,
                    owner = excluded.owner, networks = excluded.networks, updated_at = now()
                """,
                *columns,
                [" ".join(account.networks) for account in chunk],
            )
        return Counts(added, len(changed) - added, len(accounts) - len(changed))

    async def delete_account(self, domain: str) -> bool:
        """Take an account away; False when there was none."""
        async with self.changing("accounts") as pg:
            gone = await pg.fetchval("DELETE FROM directory.account WHERE domain = $1 RETURNING domain", domain)
            await changes.note(pg, [gone] if gone is not None else [])
            return gone is not None

    async def list_accounts(
        self,
        *,
        q: str | None = None,
        owner: str | None = None,
        named: bool | None = None,
        limit: int = 50,
        before: tuple[datetime, str] | None = None,
    ) -> list[Mapping[str, Any]]:
        """Accounts, newest first. `q` is looked for in domain and name, whatever its case."""
        account = tables.account
        query = sa.select(account).order_by(account.c.created_at.desc(), account.c.domain.desc()).limit(limit)
        if q:
            query = query.where(
                account.c.domain.icontains(q, autoescape=True) | account.c.name.icontains(q, autoescape=True)
            )
        if owner is not None:
            query = query.where(account.c.owner == owner)
        if named is not None:
            query = query.where(account.c.named.is_(named))
        if before is not None:
            query = query.where(sa.tuple_(account.c.created_at, account.c.domain) < sa.tuple_(*map(sa.literal, before)))
        async with self._db.begin() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]

    async def account(self, domain: str) -> Mapping[str, Any] | None:
        """One account with its times."""
        async with self._db.begin() as connection:
            row = (await connection.execute(sa.select(tables.account).where(tables.account.c.domain == domain))).first()
        return None if row is None else dict(row._mapping)

    # -- people

    async def reps(self, pg: asyncpg.pool.PoolConnectionProxy) -> dict[str, Rep]:
        """Every rep with absences that are not long past, newest first."""
        absences: dict[str, list[Absence]] = {}
        for row in await pg.fetch(
            f"SELECT id, rep_id, starts_at, ends_at, note FROM directory.absence WHERE ends_at > {_ABSENCE_FROM} ORDER BY starts_at"
        ):
            one = Absence(start=row["starts_at"], end=row["ends_at"], note=row["note"], id=str(row["id"]))
            absences.setdefault(row["rep_id"], []).append(one)
        rows = await pg.fetch(f"SELECT {', '.join(_REP_FIELDS)} FROM directory.rep ORDER BY created_at DESC, id")
        return {row["id"]: _rep(row, absences.get(row["id"], ())) for row in rows}

    async def pools(self, pg: asyncpg.pool.PoolConnectionProxy) -> dict[str, Pool]:
        """Every pool with its members in order."""
        members: dict[str, list[Member]] = {}
        for row in await pg.fetch("SELECT pool, rep_id, weight FROM directory.member ORDER BY pool, position"):
            members.setdefault(row["pool"], []).append(Member(rep=row["rep_id"], weight=row["weight"]))
        rows = await pg.fetch("SELECT name FROM directory.pool ORDER BY created_at DESC, name")
        return {row["name"]: Pool(name=row["name"], members=tuple(members.get(row["name"], ()))) for row in rows}

    async def write_reps(
        self, pg: asyncpg.pool.PoolConnectionProxy, reps: Sequence[Rep], before: Mapping[str, Rep]
    ) -> Counts:
        """Save reps that differ from `before`, and absences that are new; absences are only taken away by `remove_absences`."""
        changed = [rep for rep in reps if _without_absences(before.get(rep.id)) != _without_absences(rep)]
        if changed:
            columns = [
                [",".join(rep.languages) if name == "languages" else getattr(rep, name) for rep in changed]
                for name in _REP_FIELDS
            ]
            marks = ", ".join(f"${index}::{kind}[]" for index, kind in enumerate(_REP_TYPES, 1))
            names = ", ".join(_REP_FIELDS)
            picked = names.replace("languages", "string_to_array(languages, ',')")
            updates = ", ".join(f"{name} = excluded.{name}" for name in _REP_FIELDS[1:])
            await pg.execute(
                f"INSERT INTO directory.rep ({names}) SELECT {picked} FROM unnest({marks}) AS u({names}) "
                f"ON CONFLICT (id) DO UPDATE SET {updates}, updated_at = now()",
                *columns,
            )
        added = sum(rep.id not in before for rep in changed)
        new = [(rep.id, one) for rep in reps for one in rep.absences if not one.id]
        touched = {rep.id for rep in changed} | await self._add_absences(pg, new)
        return Counts(added, len(touched) - added, len(reps) - len(touched))

    async def _add_absences(self, pg: asyncpg.pool.PoolConnectionProxy, new: Sequence[tuple[str, Absence]]) -> set[str]:
        rows = await pg.fetch(
            """
            INSERT INTO directory.absence (rep_id, starts_at, ends_at, note)
            SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[])
            ON CONFLICT ON CONSTRAINT absence_once DO NOTHING RETURNING rep_id
            """,
            [rep_id for rep_id, _ in new],
            [one.start for _, one in new],
            [one.end for _, one in new],
            [one.note for _, one in new],
        )
        return {row["rep_id"] for row in rows}

    async def remove_absences(self, pg: asyncpg.pool.PoolConnectionProxy, rep_id: str, ids: Sequence[str]) -> None:
        """Take absences of this rep away.

        Raises:
            Refused: `not_found`: one of them is not this rep's; nothing is changed.
        """
        done = await pg.execute(
            "DELETE FROM directory.absence WHERE rep_id = $1 AND id::text = ANY($2)", rep_id, list(ids)
        )
        if int(done.rpartition(" ")[2]) != len(set(ids)):
            msg = f"{rep_id} has no such absence; read the list again"
            raise Refused(msg, code="not_found")

    async def write_pools(
        self, pg: asyncpg.pool.PoolConnectionProxy, pools: Sequence[Pool], before: Mapping[str, Pool]
    ) -> Counts:
        """Save pools that differ from `before`, members and all."""
        changed = [pool for pool in pools if before.get(pool.name) != pool]
        names = [pool.name for pool in changed]
        await pg.execute(
            "INSERT INTO directory.pool (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO UPDATE SET updated_at = now()",
            names,
        )
        await pg.execute("DELETE FROM directory.member WHERE pool = ANY($1)", names)
        await pg.executemany(
            "INSERT INTO directory.member (pool, rep_id, weight, position) VALUES ($1, $2, $3, $4)",
            [(pool.name, one.rep, one.weight, index) for pool in changed for index, one in enumerate(pool.members)],
        )
        added = sum(name not in before for name in names)
        return Counts(added, len(changed) - added, len(pools) - len(changed))

    async def empty(self) -> bool:
        """True when the directory holds no account and no rep: a first start."""
        async with self._db.raw() as pg:
            query = "SELECT NOT EXISTS (SELECT FROM directory.account) AND NOT EXISTS (SELECT FROM directory.rep)"
            return bool(await pg.fetchval(query))

    # -- the view

    async def load(self, before: "Loaded | None" = None) -> "Loaded":
        """Everything at one version; what has not changed since `before` is taken from there."""
        async with self._db.raw() as pg, pg.transaction(isolation="repeatable_read", readonly=True):
            state = await pg.fetchrow("SELECT version, accounts, people FROM directory.state")
            if before is not None and before.version == state["version"]:
                return before
            fresh = before is not None and before.accounts_version == state["accounts"]
            rows: list[asyncpg.Record] | None = None
            if not fresh:
                rows = await pg.fetch(
                    f"SELECT {', '.join(_ACCOUNT_FIELDS)} FROM directory.account ORDER BY created_at, domain"
                )
            reps, pools = await self.reps(pg), await self.pools(pg)
        # A hundred thousand accounts take a second to index: not on the loop.
        accounts = (
            before.view.accounts if rows is None and before is not None else await asyncio.to_thread(_index, rows or [])
        )
        view = DirectoryView(accounts, reps.values(), pools.values(), version=state["version"])
        return Loaded(state["version"], state["accounts"], view)


@dataclass(frozen=True)
class Loaded:
    """A view and the versions it was loaded at."""

    version: int
    accounts_version: int
    view: DirectoryView


def _index(rows: Iterable[asyncpg.Record]) -> Accounts:
    return Accounts(_account(row) for row in rows)


def _account(row: asyncpg.Record) -> Account:
    return Account(**{**dict(row), "networks": tuple(row["networks"])})


def _rep(row: asyncpg.Record, absences: Sequence[Absence]) -> Rep:
    return Rep(**{**dict(row), "languages": tuple(row["languages"]), "absences": tuple(absences)})


def _without_absences(rep: Rep | None) -> Rep | None:
    return None if rep is None else msgspec.structs.replace(rep, absences=())
