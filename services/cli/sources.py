"""Commands about where events come from: add a source, see what to do in its platform, try a payload out."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
import typer

from services.cli import app, going, settings
from services.cli.beside import opened, read_file, say, show_json, show_table
from services.cli.screen import harmless
from services.ingest.commands import (
    base_url,
    create_source,
    describe,
    open_store,
    preview,
    rotate_source,
    set_api_token,
)
from services.ingest.sources.registry import PLATFORMS, platform_named
from services.ingest.sources.setup import SETUP, steps_of
from services.ingest.store import Source, SourceStore
from services.policy.core.compile import compile_policy
from services.policy.store import PolicyStore
from services.runtime.clock import SystemClock
from services.runtime.errors import BadMessage

sources = typer.Typer(no_args_is_help=True, help="Where events come from.")
app.add_typer(sources, name="source")

Name = Annotated[str, typer.Argument(help="A source's name or id")]


@sources.command("add")
def source_add(
    name: str,
    platform: Annotated[str, typer.Option(help="segment, hubspot, sendgrid …; see lead-router source platforms")],
    write_key: Annotated[str | None, typer.Option(help="Made when not given")] = None,
    secret: Annotated[str | None, typer.Option(help="What the platform signs its requests with")] = None,
    publishable: Annotated[bool, typer.Option("--publishable", help="The key stands in web pages")] = False,
) -> None:
    """Add a source. Its key and secret are shown this once."""
    conf = settings()

    async def work() -> None:
        async with opened(conf) as db:
            made = await create_source(open_store(db, conf), name, platform, write_key, secret, publishable=publishable)
        base = base_url(conf)
        show_json(
            {
                **msgspec.to_builtins(made),
                "hook_url": f"{base}/hooks/{made.id}",
                "steps": steps_of(made.platform, base, made.id),
                "secret_is": SETUP[made.platform].secret,
            }
        )

    going(work())


@sources.command("list")
def source_list() -> None:
    """All sources."""
    conf = settings()

    async def work() -> list[tuple[object, ...]]:
        async with opened(conf) as db:
            rows = await open_store(db, conf).load()
        return [(r["id"], r["name"], r["platform"], r["publishable"], r["disabled"]) for r in rows]

    show_table(("id", "name", "platform", "publishable", "disabled"), going(work()), "There are no sources yet.")


@sources.command("platforms")
def source_platforms() -> None:
    """Which platforms are known."""
    sys.stdout.write("\n".join(PLATFORMS) + "\n")


@sources.command("show")
def source_show(name: Name, as_json: Annotated[bool, typer.Option("--json", help="For programs")] = False) -> None:
    """What to do in the platform, what came last, and what was refused and why."""
    conf = settings()

    async def work() -> dict[str, Any] | None:
        async with opened(conf) as db:
            return await describe(db, open_store(db, conf), conf, name)

    shown = going(work())
    if shown is None:
        raise _none(name)
    if as_json:
        show_json(shown)
    else:
        sys.stdout.write(harmless(_told(shown)))


@sources.command("test")
def source_test(
    name: Annotated[str, typer.Argument(help="A source's name or id, or a platform")],
    file: Annotated[Path, typer.Argument(help="A payload; standard input when not given")] = Path("-"),
    query: Annotated[
        str, typer.Option(help="What stands behind the hook's address, e.g. event=/type&email=/mail")
    ] = "",
    header: Annotated[list[str] | None, typer.Option(help="A header, e.g. 'Content-Type: …'; several times")] = None,
) -> None:
    """Show what a payload would become. Nothing is kept and no signature is checked. Exit code 1: it becomes nothing."""
    conf = settings()
    spellings: dict[str, str] = {}

    async def platform() -> str:
        async with opened(conf) as db:
            stored = await PolicyStore(db).active()
            if stored is not None:
                spellings.update(compile_policy(stored.text).spellings)
            found = await open_store(db, conf).about(name)
        return str(found["platform"]) if found is not None else name

    # A platform's own name needs no database.
    found = platform_named(name) or platform_named(going(platform()))
    if found is None:
        msg = f"there is no source and no platform {name}; see lead-router source list and source platforms"
        raise BadMessage(msg, code="not_found")
    pairs = [line.partition(":") for line in header or []]
    shown = preview(
        found,
        read_file(file),
        now=SystemClock().now(),
        headers={key.strip().lower(): value.strip() for key, _, value in pairs},
        query=dict(parse_qsl(query)),
        spellings=spellings,
    )
    show_json(shown)
    if not shown["events"] and not shown["ignored"]:
        raise typer.Exit(1)


@sources.command("rotate")
def source_rotate(
    name: Name, secret: Annotated[str | None, typer.Option(help="The platform's new signing secret")] = None
) -> None:
    """Give a source a new key, and a new secret. The old ones hold until the next rotation."""

    async def change(store: SourceStore, found: Any) -> bool:
        known = Source(
            id=found["id"],
            name=found["name"],
            platform=found["platform"],
            publishable=found["publishable"],
            disabled=found["disabled"],
            secrets=(),
        )
        made = await rotate_source(store, known, secret)
        if made is not None:
            show_json(msgspec.to_builtins(made))
        return made is not None

    _change(name, change)


@sources.command("disable")
def source_disable(name: Name, on: Annotated[bool, typer.Option("--enable", help="Enable it again")] = False) -> None:
    """Refuse everything from a source (or, with --enable, take it again)."""
    _change(name, lambda store, found: store.disable(found["id"], disabled=not on))
    say(f"Source {name} is {'enabled' if on else 'disabled'}.")


@sources.command("delete")
def source_delete(name: Name) -> None:
    """Forget a source: its key and its hook stop working. Events that it sent stay."""
    _change(name, lambda store, found: store.delete(found["id"]))
    say(f"Source {name} is gone.")


@sources.command("look-up")
def source_look_up(
    name: Name, off: Annotated[bool, typer.Option("--off", help="Look nothing up any more")] = False
) -> None:
    """Look contacts up at the platform (HubSpot), with the API token that is read from standard input."""
    token = None if off else read_file(Path("-")).decode("utf-8", "replace").strip()
    _change(name, lambda store, found: set_api_token(store, found["id"], found["platform"], token))
    say(f"Contacts of {name} are {'not ' if off else ''}looked up.")


def _change(name: str, change: Callable[[SourceStore, Any], Awaitable[bool]]) -> None:
    """Find the source by name or id and change it."""
    conf = settings()

    async def work() -> bool:
        async with opened(conf) as db:
            store = open_store(db, conf)
            found = await store.about(name)
            return found is not None and await change(store, found)

    if not going(work()):
        raise _none(name)


def _none(name: str) -> BadMessage:
    return BadMessage(f"there is no source {name}; see lead-router source list", code="not_found")


def _told(shown: dict[str, Any]) -> str:
    """A source in words."""
    state = "disabled" if shown["disabled"] else "enabled"
    lines = [
        f"{shown['name']} ({shown['platform']}, {state})",
        f"id       {shown['id']}",
        f"address  {shown['hook_url']}",
        f"signed   {'yes' if shown['signed'] else 'no'}",
        f"events   {shown['accepted']} taken, {shown['rejected']} refused, last {shown['seen_at'] or 'never'}",
    ]
    if shown["looks_up"] or shown["waiting"]:
        lines.append(f"waiting  {shown['waiting']} events for the contact to be looked up")
    lines += ["", "What to do:"]
    lines += [f"  {n}. {step}" for n, step in enumerate(shown["steps"], 1)]
    lines += ["", f"Secret: {shown['secret_is']}", "", "Last events:"]
    lines += [f"  {one['at']}  {one['signal']}" for one in shown["recent"]] or ["  none yet"]
    lines += ["", "Last refused:"]
    lines += [f"  {one['at']}  {one['reason']}: {one['detail']} (dead letter {one['id']})" for one in shown["last_rejects"]] or ["  none"]  # fmt: skip
    return "\n".join(lines) + "\n"
