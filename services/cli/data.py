"""Commands about what the service knows: tokens, sources, the policy, the directory."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn, get_args
from urllib.parse import parse_qsl

import msgspec
import typer

from services.cli import app, going, settings
from services.cli.beside import opened, out, read_file, read_text, show_json, show_table
from services.directory.core.fields import FieldError
from services.directory.core.team_yaml import TeamError
from services.directory.imports import ImportResult, import_accounts, import_team
from services.directory.rows import DirectoryStore
from services.ingest.commands import create_source, open_store, preview, rotate_source
from services.ingest.sources.registry import platform_named
from services.ingest.store import Source
from services.policy.core.compile import compile_policy
from services.policy.core.diff import diff_policies
from services.policy.core.problems import PolicyError
from services.policy.store import PolicyStore, Stored
from services.runtime.access import Access, Role, TokenInfo
from services.runtime.clock import SystemClock
from services.runtime.errors import BadMessage, Misconfigured

tokens = typer.Typer(no_args_is_help=True, help="Tokens of people and programs.")
sources = typer.Typer(no_args_is_help=True, help="Where events come from.")
policy = typer.Typer(no_args_is_help=True, help="The rules: check, put in force, roll back.")
directory = typer.Typer(no_args_is_help=True, help="Accounts, reps and pools.")
app.add_typer(tokens, name="token")
app.add_typer(sources, name="source")
app.add_typer(policy, name="policy")
app.add_typer(directory, name="directory")

File = Annotated[Path, typer.Argument(help="A file, or - for standard input")]
WHO = "command line"


@app.command()
def migrate() -> None:
    """Bring the database to the version of this release."""
    from services.cli.run import database
    from services.migrations.run import migrate as bring

    async def work() -> None:
        async with database(settings(), beside=True) as db:
            await bring(db)

    going(work())
    out.print("The database is up to date.")


@tokens.command("create")
def token_create(
    role: Annotated[str, typer.Option(help="admin, marketing, ops or rep")],
    rep: Annotated[str | None, typer.Option(help="With the role rep: whose")] = None,
    name: Annotated[str, typer.Option(help="What it is for")] = "",
) -> None:
    """Make a token. It is shown this once; only its hash is stored."""
    if role not in get_args(Role):
        msg = f"--role {role} is unknown; it is one of {', '.join(get_args(Role))}"
        raise Misconfigured(msg)

    async def work() -> str:
        async with opened(settings()) as db:
            return await Access(db, SystemClock()).create(role, rep, name)  # type: ignore[arg-type]  # checked above

    sys.stdout.write(going(work()) + "\n")


@tokens.command("list")
def token_list() -> None:
    """Who may come in."""

    async def work() -> list[TokenInfo]:
        async with opened(settings()) as db:
            return await Access(db, SystemClock()).list()

    rows = [(t.id, t.role, t.rep, t.name, t.created_at, t.revoked_at) for t in going(work())]
    show_table(("id", "role", "rep", "name", "created", "revoked"), rows, "There are no tokens yet.")


@tokens.command("revoke")
def token_revoke(token_id: str) -> None:
    """Take a token back, at once and everywhere."""

    async def work() -> bool:
        async with opened(settings()) as db:
            return await Access(db, SystemClock()).revoke(token_id)

    if not going(work()):
        msg = f"there is no token {token_id}, or it was revoked already; see lead-router token list"
        raise BadMessage(msg, code="not_found")
    out.print(f"Token {token_id} is revoked.")


@sources.command("add")
def source_add(
    name: str,
    platform: Annotated[str, typer.Option(help="segment, cloudevents, standardwebhooks …")],
    write_key: Annotated[str | None, typer.Option(help="Made when not given")] = None,
    secret: Annotated[str | None, typer.Option(help="What the platform signs its requests with")] = None,
    publishable: Annotated[bool, typer.Option("--publishable", help="The key stands in web pages")] = False,
) -> None:
    """Add a source. Its key and secret are shown this once."""
    conf = settings()

    async def work() -> None:
        async with opened(conf) as db:
            made = await create_source(open_store(db, conf), name, platform, write_key, secret, publishable=publishable)
        base = conf.public_url or f"http://{conf.host}:{conf.port}"
        show_json(
            {
                "id": made.id,
                "name": made.name,
                "platform": made.platform,
                "write_key": made.write_key,
                "secret": made.secret,
                "publishable": made.publishable,
                "hook_url": f"{base}/hooks/{made.id}",
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


@sources.command("disable")
def source_disable(
    source_id: str, on: Annotated[bool, typer.Option("--enable", help="Enable it again")] = False
) -> None:
    """Refuse everything from a source (or, with --enable, take it again)."""
    conf = settings()

    async def work() -> bool:
        async with opened(conf) as db:
            return await open_store(db, conf).disable(source_id, disabled=not on)

    if not going(work()):
        msg = f"there is no source {source_id}; see lead-router source list"
        raise BadMessage(msg, code="not_found")
    out.print(f"Source {source_id} is {'enabled' if on else 'disabled'}.")


@sources.command("rotate")
def source_rotate(
    source_id: str, secret: Annotated[str | None, typer.Option(help="The platform's new signing secret")] = None
) -> None:
    """Give a source a new key, and a new secret. The old ones hold until the next rotation."""
    conf = settings()

    async def work() -> dict[str, object] | None:
        async with opened(conf) as db:
            store = open_store(db, conf)
            for row in await store.load():
                if source_id in (row["id"], row["name"]):
                    known = Source(
                        id=row["id"],
                        name=row["name"],
                        platform=row["platform"],
                        publishable=row["publishable"],
                        disabled=row["disabled"],
                        secrets=(),
                    )
                    made = await rotate_source(store, known, secret)
                    return msgspec.to_builtins(made) if made is not None else None
        return None

    made = going(work())
    if made is None:
        msg = f"there is no source {source_id}; see lead-router source list"
        raise BadMessage(msg, code="not_found")
    show_json(made)


@sources.command("test")
def source_test(
    name: Annotated[str, typer.Argument(help="A source's name or id, or a platform")],
    file: Annotated[Path, typer.Argument(help="A payload; standard input when not given")] = Path("-"),
    query: Annotated[
        str, typer.Option(help="What stands behind the hook's address, e.g. event=/type&email=/mail")
    ] = "",
    header: Annotated[list[str] | None, typer.Option(help="A header, e.g. 'Content-Type: …'; several times")] = None,
) -> None:
    """Show what a payload would become. Nothing is kept and no signature is checked."""
    conf = settings()

    async def platform() -> str:
        async with opened(conf) as db:
            rows = await open_store(db, conf).load()
        return next((str(row["platform"]) for row in rows if name in (row["id"], row["name"])), name)

    # A platform's own name needs no database.
    found = platform_named(name) or platform_named(going(platform()))
    if found is None:
        msg = f"there is no source and no platform {name}; see lead-router source list"
        raise BadMessage(msg, code="not_found")
    pairs = [line.partition(":") for line in header or []]
    shown = preview(
        found,
        read_file(file),
        now=SystemClock().now(),
        headers={key.strip().lower(): value.strip() for key, _, value in pairs},
        query=dict(parse_qsl(query)),
    )
    show_json(shown)
    if not shown["events"] and not shown["ignored"]:
        raise typer.Exit(1)


@policy.command("check")
def policy_check(file: File) -> None:
    """Check a policy file: every problem with its line, column and how to mend it."""
    try:
        compile_policy(read_text(file))
    except PolicyError as error:
        _fail(file, error)
    out.print(f"{file}: in order")


@policy.command("put")
def policy_put(file: File, note: Annotated[str, typer.Option(help="Why")] = "") -> None:
    """Save a policy file as a new version and put it in force."""
    text = read_text(file)

    async def work() -> Stored:
        async with opened(settings()) as db:
            return await PolicyStore(db).put(text, WHO, note)

    try:
        stored = going(work())
    except PolicyError as error:
        _fail(file, error)
    out.print(f"Version {stored.version} is in force.")


@policy.command("rollback")
def policy_rollback(
    to: Annotated[int | None, typer.Option(help="Version; the one before when not given")] = None,
) -> None:
    """Put an earlier version in force again."""

    async def work() -> Stored:
        async with opened(settings()) as db:
            return await PolicyStore(db).rollback(WHO, to)

    out.print(f"Version {going(work()).version} is in force.")


@policy.command("history")
def policy_history() -> None:
    """All versions, newest first."""

    async def work() -> list[Stored]:
        async with opened(settings()) as db:
            return await PolicyStore(db).history()

    rows = [(v.version, "*" if v.active else "", v.saved_at, v.saved_by, v.note) for v in going(work())]
    show_table(("version", "in force", "saved", "by", "note"), rows, "There is no policy yet.")


@policy.command("show")
def policy_show(version: Annotated[int | None, typer.Option(help="The one in force when not given")] = None) -> None:
    """Print a version's text."""

    async def work() -> Stored | None:
        async with opened(settings()) as db:
            store = PolicyStore(db)
            return await store.active() if version is None else await store.get(version)

    stored = going(work())
    if stored is None:
        msg = "no policy is in force; put one with lead-router policy put FILE"
        raise BadMessage(msg, code="not_found")
    sys.stdout.write(stored.text)


@policy.command("diff")
def policy_diff(file: File) -> None:
    """What putting this file in force would change, in words."""
    text = read_text(file)

    async def work() -> Stored | None:
        async with opened(settings()) as db:
            return await PolicyStore(db).active()

    stored = going(work())
    try:
        changes = diff_policies(stored.text, text) if stored is not None else []
    except PolicyError as error:
        _fail(file, error)
    for change in changes:
        out.print(f"- {change.text}", highlight=False, markup=False)
    if not changes:
        out.print(
            "Nothing would change." if stored is not None else "No policy is in force yet: everything would be new."
        )


@directory.command("accounts")
def directory_accounts(file: File) -> None:
    """Import accounts from a CSV file: good rows are kept, bad ones are told by line."""
    body = read_file(file)

    async def work() -> ImportResult:
        async with opened(settings()) as db:
            return await import_accounts(DirectoryStore(db), body)

    try:
        done = going(work())
    except FieldError as error:
        msg = f"{file}: {error}"
        raise BadMessage(msg, code="bad_file") from error
    out.print(f"{done.added} added, {done.updated} updated, {done.unchanged} unchanged, {done.bad_total} bad")
    for bad in done.bad:
        out.print(
            f"{file}, line {bad.line}: {bad.column}: {bad.message}", highlight=False, markup=False, soft_wrap=True
        )
    if done.bad_total:
        raise typer.Exit(1)


@directory.command("team")
def directory_team(file: File) -> None:
    """Import reps and pools from a YAML file."""
    text = read_text(file)

    async def work() -> dict[str, dict[str, int]]:
        async with opened(settings()) as db:
            return await import_team(DirectoryStore(db), text)

    try:
        done = going(work())
    except TeamError as error:
        msg = f"{file}: {error}"
        raise BadMessage(msg, code="bad_file") from error
    for what, counts in done.items():
        out.print(f"{what}: " + ", ".join(f"{n} {word}" for word, n in counts.items()))


def _fail(file: Path, error: PolicyError) -> NoReturn:
    for problem in error.problems:
        hint = f" ({problem.hint})" if problem.hint else ""
        out.print(
            f"{file}:{problem.line}:{problem.column}: {problem.path}: {problem.message}{hint}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    raise typer.Exit(1)
