"""Commands about what the service knows: tokens, the policy, the directory."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from services.cli import app, going, settings
from services.cli.beside import opened, read_file, read_text, say, show_table
from services.directory.core.fields import FieldError
from services.directory.core.team_yaml import TeamError
from services.directory.imports import ImportResult, import_accounts, import_team
from services.directory.rows import DirectoryStore
from services.directory.store import DirectoryCache
from services.policy.core.compile import compile_policy
from services.policy.core.diff import diff_policies
from services.policy.core.problems import PolicyError
from services.policy.store import PolicyStore, Stored
from services.policy.sweeping import activated
from services.runtime.access import Access, Role, TokenInfo
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.errors import BadMessage
from services.scoring.store.sweep import SweepStore

tokens = typer.Typer(no_args_is_help=True, help="Tokens of people and programs.")
policy = typer.Typer(no_args_is_help=True, help="The rules: check, put in force, roll back.")
directory = typer.Typer(no_args_is_help=True, help="Accounts, reps and pools.")
app.add_typer(tokens, name="token")
app.add_typer(policy, name="policy")
app.add_typer(directory, name="directory")

File = Annotated[Path, typer.Argument(help="A file, or - for standard input")]
WHO = "command line"


@app.command()
def migrate() -> None:
    """Bring the database to the version of this release."""
    from services.cli.compose import database
    from services.migrations.run import migrate as bring

    async def work() -> None:
        async with database(settings(), beside=True) as db:
            await bring(db)

    going(work())
    say("The database is up to date.")


@tokens.command("create")
def token_create(
    role: Annotated[Role, typer.Option(help="What it may do; see docs/api.md")],
    rep: Annotated[str | None, typer.Option(help="With the role rep: whose")] = None,
    name: Annotated[str, typer.Option(help="What it is for")] = "",
) -> None:
    """Make a token. It is shown this once; only its hash is stored."""

    async def work() -> str:
        async with opened(settings()) as db:
            token = await Access(db, SystemClock()).create(role, rep, name)
            if rep and rep not in (await DirectoryCache(db, Listener(db)).refresh()).reps:
                sys.stderr.write(f"There is no rep {rep!r} in the directory yet: the token opens an empty inbox.\n")
            return token

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
    say(f"Token {token_id} is revoked.")


@policy.command("check")
def policy_check(file: File) -> None:
    """Check a policy file: every problem with its line, column and how to mend it."""
    try:
        compile_policy(read_text(file))
    except PolicyError as error:
        _fail(file, error)
    say(f"{file}: in order")


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
    say(f"Version {stored.version} is in force.")


@policy.command("rollback")
def policy_rollback(
    to: Annotated[int | None, typer.Option(help="Version; the one before when not given")] = None,
) -> None:
    """Put an earlier version in force again."""

    async def work() -> Stored:
        async with opened(settings()) as db:
            return await PolicyStore(db).rollback(WHO, to)

    say(f"Version {going(work()).version} is in force.")


@policy.command("activate")
def policy_activate(
    version: int,
    sweep: Annotated[bool, typer.Option("--sweep", help="Put it to every lead at once, without alerts")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a sweep")] = False,
) -> None:
    """Put a saved version in force; leads come under it with their next event, or at once with --sweep."""

    async def count() -> int:
        async with opened(settings()) as db:
            await PolicyStore(db).get(version)  # before anybody is asked
            return await SweepStore(db).preview()

    async def work() -> Stored:
        async with opened(settings()) as db:
            return await activated(PolicyStore(db), SweepStore(db), version, WHO, sweep=sweep)

    leads = going(count()) if sweep else 0
    if sweep and not yes:
        typer.confirm(f"Decide {leads:,} leads anew by version {version}?", abort=True)
    stored = going(work())
    say(f"Version {stored.version} is in force.")
    if sweep:
        per_s = settings().sweep_leads_per_s
        say(f"{leads:,} leads are decided anew by a running service, {per_s:,} a second, without alerts.")


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
        say(f"- {change.text}")
    if not changes:
        say("Nothing would change." if stored is not None else "No policy is in force yet: everything would be new.")


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
    say(f"{done.added} added, {done.updated} updated, {done.unchanged} unchanged, {done.bad_total} bad")
    for bad in done.bad:
        say(f"{file}, line {bad.line}: {bad.column}: {bad.message}")
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
        say(f"{what}: " + ", ".join(f"{n} {word}" for word, n in counts.items()))


def _fail(file: Path, error: PolicyError) -> NoReturn:
    for problem in error.problems:
        hint = f" ({problem.hint})" if problem.hint else ""
        say(
            f"{file}:{problem.line}:{problem.column}: {problem.path}: {problem.message}{hint}",
        )
    raise typer.Exit(1)
