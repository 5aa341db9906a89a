"""Commands for operations: lag, dead letters, and why a lead is where it is."""

import json
import sys
from typing import Annotated, Any
from uuid import UUID

import typer

from schemas.topics import StageName
from services.cli import app, going, settings
from services.cli.beside import opened, say, show_json, show_table
from services.cli.screen import harmless
from services.directory.store import DirectoryCache
from services.eventlog.deadletter import DeadLetter, list_letters, replay, replay_many, show_letter
from services.eventlog.open import open_log
from services.ingest.service import replay_requests
from services.notify.store.notices import notices_of
from services.policy.cache import PolicyCache
from services.router.api.leads import Leads
from services.router.core.explain import render
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.errors import BadMessage
from services.scoring.store.people import PeopleStore

dead = typer.Typer(no_args_is_help=True, help="Records that could not be handled: list, show, replay.")
app.add_typer(dead, name="dead")

WHO = "command line"
ACTS_SHOWN = 20


@app.command()
def lag() -> None:
    """How far each stage is behind, by partition."""
    from services.eventlog.api import lag_of

    conf = settings()

    async def work() -> list[dict[str, Any]]:
        async with opened(conf) as db:
            log = open_log(conf, db, Listener(db))
            try:
                await log.ensure_topics()
                return await lag_of(db, log)
            finally:
                await log.close()

    columns = ("stage", "topic", "part", "position", "end", "records", "seconds", "owner")
    show_table(columns, [[row.get(c) for c in columns] for row in going(work())], "No stage has run yet.")


@app.command()
def explain(email: str, as_json: Annotated[bool, typer.Option("--json", help="As data")] = False) -> None:
    """Why is this lead where it is? The path from event to notice, in words."""
    conf = settings()

    async def work() -> dict[str, Any] | None:
        async with opened(conf) as db:
            policies = PolicyCache(db, Listener(db), SystemClock())
            await policies.refresh()
            view = await DirectoryCache(db, Listener(db)).refresh()
            found = await Leads(db, lambda: view, lambda: policies.active, SystemClock()).path(email)
            if found is not None:
                key = str(found["lead"]["id"])
                done = await PeopleStore(db).timeline(UUID(key), None, ACTS_SHOWN)
                found = {**found, "notices": await notices_of(db, key), "acts": done or []}
            return found

    path = going(work())
    if path is None:
        msg = f"no lead has the address {email}"
        raise BadMessage(msg, code="not_found")
    if as_json:
        show_json(path)
    else:
        told = [*map(_notice, path["notices"])] or ["  none\n"]
        lines = [render(path), "\nNotices\n", *told, "\nNewest acts\n", *map(_act, path["acts"])]
        # Names, titles and addresses are of strangers.
        sys.stdout.write(harmless("".join(lines)))


@dead.command("list")
def dead_list(
    stage: Annotated[StageName | None, typer.Option(help="Only this stage")] = None,
    reason: Annotated[str | None, typer.Option(help="A reason code")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """The newest dead letters."""

    async def work() -> list[DeadLetter]:
        async with opened(settings()) as db:
            return await list_letters(db, stage=stage, reason=reason, limit=limit)

    rows = [
        (d.id, d.died_at, d.stage, d.reason, f"{d.topic}/{d.part}@{d.offset}", d.replayed_at, d.detail)
        for d in going(work())
    ]
    show_table(("id", "died", "stage", "reason", "place", "replayed", "detail"), rows, "There are no dead letters.")


@dead.command("show")
def dead_show(letter: int) -> None:
    """One dead letter with its bytes."""

    async def work() -> DeadLetter | None:
        async with opened(settings()) as db:
            return await show_letter(db, letter)

    found = going(work())
    if found is None:
        msg = f"there is no dead letter {letter}"
        raise BadMessage(msg, code="not_found")
    plain = {name: getattr(found, name) for name in found.__struct_fields__}
    for name in ("key", "value"):
        plain[name] = _readable(plain[name])
    show_json(plain)


@dead.command("replay")
def dead_replay(
    letter: Annotated[int | None, typer.Argument(help="One letter; or use --all with a filter")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were not replayed yet")] = False,
    stage: Annotated[StageName | None, typer.Option(help="With --all: only this stage")] = None,
    reason: Annotated[str | None, typer.Option(help="With --all: only this reason")] = None,
) -> None:
    """Put dead letters back into their topic, once what made them fail is mended. Duplicates are harmless."""
    if (letter is None) == (not everything):
        msg = "say which: a letter's number, or --all"
        raise BadMessage(msg, code="bad_request")
    conf = settings()

    async def work() -> int:
        async with opened(conf) as db:
            log = open_log(conf, db, Listener(db))
            try:
                await log.ensure_topics()
                policies = PolicyCache(db, Listener(db), SystemClock())
                await policies.refresh()
                replay_requests(conf, policies)
                writer = log.writer()
                if letter is None:
                    return await replay_many(db, writer, WHO, stage=stage, reason=reason)
                return 0 if await replay(db, writer, letter, WHO) is None else 1
            finally:
                await log.close()

    done = going(work())
    if letter is not None and not done:
        msg = f"there is no dead letter {letter}"
        raise BadMessage(msg, code="not_found")
    say(f"{done} put back.")


def _notice(notice: dict[str, Any]) -> str:
    shown = f"on a screen at {notice['delivered_at'].isoformat()}" if notice["delivered_at"] else "on no screen yet"
    return f"  {notice['created_at'].isoformat()}: {notice['kind']} to {notice['rep']}, {notice['state']}, {shown}\n"


def _act(act: dict[str, Any]) -> str:
    what = act.get("link") or act.get("path") or act.get("name") or ""
    why = f" ({', '.join(act['reasons'])})" if act["reasons"] else ""
    return (
        f"  {act['occurred_at'].isoformat()}: {act['signal']} {what}, {act['actor']}{why}, counts {act['human']:.0%}\n"
    )


def _readable(body: bytes | None) -> Any:
    if body is None:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "backslashreplace")
