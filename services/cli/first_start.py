"""What a first start does: the example company into an empty database, tokens and keys into `access.json`."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.directory.imports import import_accounts, import_team
from services.directory.rows import DirectoryStore
from services.directory.store import DirectoryCache
from services.ingest.commands import create_source, open_store
from services.policy.store import PolicyStore
from services.runtime.access import Access
from services.runtime.db import Database
from services.runtime.errors import Misconfigured, Refused
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

ACCESS_FILE = "access.json"
ROLES = ("admin", "marketing", "ops")


@dataclass(frozen=True)
class First:
    """What the first screen needs to know."""

    access: dict[str, Any] | None
    seeded: bool


def examples_folder() -> Path:
    """Where the example company lies: `LEAD_ROUTER_EXAMPLES`, else beside the code."""
    given = os.environ.get("LEAD_ROUTER_EXAMPLES")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "examples"


async def seed(db: Database, policies: PolicyStore, directory: DirectoryStore) -> bool:
    """Load the example company, if the database has no policy yet. Two processes at once: one does it.

    Returns:
        Whether it was loaded by this call.
    """
    folder = examples_folder()
    async with db.raw() as pg:
        # Session lock: held while both imports, each in its own transaction, run.
        await pg.execute("SELECT pg_advisory_lock(7209471104)")
        try:
            if await policies.active() is not None:
                return False
            try:
                team = (folder / "team.yaml").read_text(encoding="utf-8")
                accounts = (folder / "accounts.csv").read_bytes()
                policy = (folder / "policy.yaml").read_text(encoding="utf-8")
            except OSError as error:
                msg = (
                    f"the example company is not at {folder}: {error.strerror}; set LEAD_ROUTER_EXAMPLES to its folder"
                )
                raise Misconfigured(msg) from error
            await import_team(directory, team)
            await import_accounts(directory, accounts)
            await policies.put(policy, "first start", "the example company")
        finally:
            await pg.execute("SELECT pg_advisory_unlock(7209471104)")
    return True


async def write_access(
    settings: Settings, db: Database, access: Access, url: str, reps: Mapping[str, str]
) -> dict[str, Any]:
    """`access.json` of the data folder: made once, and again when its tokens are no longer ours.

    Tokens and keys are stored as hashes only, so this file, mode 0600, is the one place that has them in clear.
    """
    path = settings.data_dir / ACCESS_FILE
    kept = _read(path)
    if kept is not None and await access.identify(str(kept.get("admin"))) is not None:
        if kept.get("url") != url:
            kept["url"] = url
            _write(path, kept)
        return kept
    made: dict[str, Any] = {"url": url}
    for role in ROLES:
        made[role] = await access.create(role, None, "first start")  # type: ignore[arg-type]  # ROLES are Roles
    made["reps"] = {rep: await access.create("rep", rep, name) for rep, name in reps.items()}
    made["source"] = await _source(settings, db, "website server", publishable=False)
    made["publishable"] = await _source(settings, db, "website browser", publishable=True)
    _write(path, made)
    return made


def demo_site_key(settings: Settings) -> str | None:
    """The publishable key of the demo site: as set, else on a local start the one of `access.json`; None: no demo site."""
    if settings.demo_site_key is not None:
        return settings.demo_site_key
    if settings.environment == "production":
        return None
    key = (_read(settings.data_dir / ACCESS_FILE) or {}).get("publishable")
    return key if isinstance(key, str) else None


async def first_start(
    settings: Settings, *, db: Database, access: Access, policies: PolicyStore, directory: DirectoryCache, url: str
) -> First:
    """Everything above, for a local start; in production nothing is made up: operators create tokens themselves."""
    if settings.environment == "production":
        return First(access=None, seeded=False)
    seeded = await seed(db, policies, DirectoryStore(db))
    view = await directory.refresh()
    reps = {rep.id: rep.name for rep in view.reps.values() if rep.active}
    return First(access=await write_access(settings, db, access, url, reps), seeded=seeded)


async def _source(settings: Settings, db: Database, name: str, *, publishable: bool) -> str:
    store = open_store(db, settings)
    for number in range(1, 100):
        try:
            label = name if number == 1 else f"{name} {number}"
            return (await create_source(store, label, "segment", publishable=publishable)).write_key
        except Refused:
            continue
    msg = f"a hundred sources are called {name!r}: delete some with lead-router source delete"
    raise Misconfigured(msg)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(content, out, indent=2, ensure_ascii=False)
        out.write("\n")
    fresh.replace(path)
