"""Versions of the policy in PostgreSQL: save, activate, roll back, history.

Numbers only rise: rolling back saves the old text under a new number, so that "this message was made under a newer
policy than mine" is always one comparison. Every process hears of a change by NOTIFY (`cache.py`).
"""

import asyncio
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from sqlalchemy import Row, select

from schemas.signals import FIRST_CUSTOM_SIGNAL, OTHER_SIGNAL
from services.eventlog.ports import Connection
from services.policy.cache import CHANNEL, PolicyCache
from services.policy.core.compile import compile_policy, read_policy, uncoded
from services.policy.core.policy import Policy
from services.policy.core.problems import PolicyError, Problem
from services.policy.tables import ACTIVE, SIGNAL_CODE, VERSION
from services.runtime.db import Database
from services.runtime.errors import Conflict, Refused

__all__ = ["PolicyCache", "PolicyStore", "Stored"]

# Saving is rare and short: one at a time, whoever does it.
_LOCK: Final = "LOCK TABLE policy.version IN SHARE ROW EXCLUSIVE MODE"


class Stored(msgspec.Struct, frozen=True):
    """One version. `activated_at` None: it never was in force. `copy_of`: the version that a rollback brought back."""

    version: int
    text: str
    note: str
    saved_by: str
    saved_at: datetime
    copy_of: int | None
    activated_by: str | None
    activated_at: datetime | None
    active: bool


class PolicyStore:
    """Reads and writes versions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(self, text: str, who: str, note: str = "") -> Stored:
        """Keep a version without putting it in force.

        Raises:
            PolicyError: The text is no policy, or names more signals of its own than there are numbers left.
        """
        names = await _checked(text)
        async with self._db.transaction() as pg:
            await pg.execute(_LOCK)
            return await _save(pg, text, names, who, note)

    async def put(self, text: str, who: str, note: str = "", over: int | None = None) -> Stored:
        """Save and put in force, in one step. A text that is in force already is left as it is.

        Args:
            over: The version that the writer believes to be in force; None: whichever it is.

        Raises:
            PolicyError: As `save`.
            Conflict: Another version is in force than `over`.
        """
        names = await _checked(text)
        async with self._db.transaction() as pg:
            await pg.execute(_LOCK)
            now_active = await _one(pg, "version = (SELECT version FROM policy.active)")
            _still(now_active, over)
            if now_active is not None and now_active.text == text:
                return now_active
            saved = await _save(pg, text, names, who, note)
            return await _activate(pg, saved.version, who)

    async def activate(self, version: int, who: str, over: int | None = None) -> Stored:
        """Put a saved version in force. One older than the version in force comes back under a new number.

        Args:
            over: As `put`.

        Raises:
            Refused: `not_found`.
            Conflict: Another version is in force than `over`.
        """
        async with self._db.transaction() as pg:
            await pg.execute(_LOCK)
            wanted = await _found(pg, version)
            active = await _one(pg, "version = (SELECT version FROM policy.active)")
            _still(active, over)
            if active is not None and active.version >= version:
                if wanted.active:
                    return wanted
                return await _bring_back(pg, wanted, who)
            return await _activate(pg, version, who)

    async def rollback(self, who: str, to: int | None = None) -> Stored:
        """Bring an earlier version back, under a new number.

        Args:
            to: The version; None: the one that was in force before the present one. Rolling back twice goes back two.

        Raises:
            Refused: `not_found`, or `nothing_to_roll_back`.
        """
        async with self._db.transaction() as pg:
            await pg.execute(_LOCK)
            if to is None:
                to = await pg.fetchval(
                    "SELECT max(version) FROM policy.version WHERE activated_at IS NOT NULL AND copy_of IS NULL AND version <"
                    " (SELECT coalesce(v.copy_of, v.version) FROM policy.active a JOIN policy.version v USING (version))"
                )
            if to is None:
                msg = "there is no earlier policy to go back to"
                raise Refused(msg, code="nothing_to_roll_back")
            wanted = await _found(pg, to)
            if wanted.active:
                msg = f"version {to} is in force already"
                raise Refused(msg, code="nothing_to_roll_back")
            return await _bring_back(pg, wanted, who)

    async def history(self, limit: int = 50, before: int | None = None) -> list[Stored]:
        """Versions, newest first.

        Args:
            before: Only versions with a smaller number.
        """
        query = select(*VERSION.c, ACTIVE.c.version.isnot(None).label("active")).outerjoin_from(
            VERSION, ACTIVE, VERSION.c.version == ACTIVE.c.version
        )
        if before is not None:
            query = query.where(VERSION.c.version < before)
        async with self._db.begin() as connection:
            rows = await connection.execute(query.order_by(VERSION.c.version.desc()).limit(limit))
            return [_stored(row) for row in rows]

    async def get(self, version: int) -> Stored:
        """One version.

        Raises:
            Refused: `not_found`.
        """
        query = select(*VERSION.c, ACTIVE.c.version.isnot(None).label("active")).outerjoin_from(
            VERSION, ACTIVE, VERSION.c.version == ACTIVE.c.version
        )
        async with self._db.begin() as connection:
            row = (await connection.execute(query.where(VERSION.c.version == version))).first()
        if row is None:
            raise _not_found(version)
        return _stored(row)

    async def active(self) -> Stored | None:
        """The version in force; None when there never was one."""
        query = select(*VERSION.c, ACTIVE.c.version.isnot(None).label("active")).join_from(
            VERSION, ACTIVE, VERSION.c.version == ACTIVE.c.version
        )
        async with self._db.begin() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _stored(row)

    async def codes(self) -> dict[str, int]:
        """Numbers of the signals of the company's own."""
        async with self._db.begin() as connection:
            rows = await connection.execute(select(SIGNAL_CODE.c.name, SIGNAL_CODE.c.code))
            return {row.name: row.code for row in rows}

    async def compiled(self, version: int) -> Policy:
        """One version, ready for use: to decide again as it was decided then, or for a backtest.

        Raises:
            Refused: `not_found`.
            PolicyError: This release does not accept the old text any more.
        """
        stored = await self.get(version)
        return await asyncio.to_thread(compile_policy, stored.text, version, await self.codes())


async def _checked(text: str) -> list[str]:
    """The names that need numbers, once the whole text is known to be good."""

    def check() -> list[str]:
        compile_policy(text)
        return uncoded(read_policy(text)[1])

    return await asyncio.to_thread(check)


async def _save(pg: Connection, text: str, names: Collection[str], who: str, note: str) -> Stored:
    """Insert a version and numbers for its new signals. Needs the lock."""
    taken = {row["name"]: row["code"] for row in await pg.fetch("SELECT name, code FROM policy.signal_code")}
    fresh = sorted(set(names) - set(taken))
    free = [code for code in range(FIRST_CUSTOM_SIGNAL, OTHER_SIGNAL) if code not in set(taken.values())]
    if len(fresh) > len(free):
        message = f"all numbers for signals of your own are used; {len(free)} are left, {len(fresh)} are needed"
        hint = "give a signal that is used no more its old name again: its counters go on"
        raise PolicyError([Problem(line=0, column=0, path="signals", message=message, hint=hint)])
    await pg.execute(
        "INSERT INTO policy.signal_code (name, code) SELECT * FROM unnest($1::text[], $2::smallint[])",
        fresh,
        free[: len(fresh)],
    )
    version = await pg.fetchval(
        "INSERT INTO policy.version (version, body, note, saved_by)"
        " SELECT coalesce(max(version), 0) + 1, $1, $2, $3 FROM policy.version RETURNING version",
        text,
        note,
        who,
    )
    return await _found(pg, version)


async def _activate(pg: Connection, version: int, who: str) -> Stored:
    await pg.execute(
        "INSERT INTO policy.active (version) VALUES ($1) ON CONFLICT (one) DO UPDATE SET version = excluded.version",
        version,
    )
    await pg.execute(
        "UPDATE policy.version SET activated_by = $2, activated_at = now() WHERE version = $1", version, who
    )
    await pg.execute("SELECT pg_notify($1, $2)", CHANNEL, str(version))
    return await _found(pg, version)


async def _bring_back(pg: Connection, wanted: Stored, who: str) -> Stored:
    """The text of an old version, in force under a new number."""
    origin = wanted.copy_of or wanted.version
    version = await pg.fetchval(
        "INSERT INTO policy.version (version, body, note, saved_by, copy_of)"
        " SELECT (SELECT max(version) + 1 FROM policy.version), body, $2, $3, $4 FROM policy.version"
        " WHERE version = $1 RETURNING version",
        wanted.version,
        f"back to version {origin}",
        who,
        origin,
    )
    return await _activate(pg, version, who)


async def _one(pg: Connection, where: str, *arguments: object) -> Stored | None:
    row: asyncpg.Record | None = await pg.fetchrow(
        "SELECT version, body, note, saved_by, saved_at, copy_of, activated_by, activated_at,"
        f" version = (SELECT version FROM policy.active) IS TRUE AS active FROM policy.version WHERE {where}",
        *arguments,
    )
    return None if row is None else Stored(*row)


async def _found(pg: Connection, version: int) -> Stored:
    stored = await _one(pg, "version = $1", version)
    if stored is None:
        raise _not_found(version)
    return stored


def _still(active: Stored | None, over: int | None) -> None:
    if over is not None and active is not None and active.version != over:
        msg = f"version {active.version} was put in force by {active.activated_by or active.saved_by} meanwhile"
        raise Conflict(msg)


def _not_found(version: int) -> Refused:
    return Refused(f"there is no policy version {version}", code="not_found")


def _stored(row: Row[*tuple[Any, ...]]) -> Stored:
    return Stored(
        version=row.version,
        text=row.body,
        note=row.note,
        saved_by=row.saved_by,
        saved_at=row.saved_at,
        copy_of=row.copy_of,
        activated_by=row.activated_by,
        activated_at=row.activated_at,
        active=row.active,
    )
