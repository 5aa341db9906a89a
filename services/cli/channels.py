"""Commands about where notices go beside the inbox: add a channel, try it, rotate its secrets, see what did not go out."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from services.cli import app, going, settings
from services.cli.beside import opened, read_text, say, show_json, show_table
from services.notify.channels.kinds import KINDS
from services.notify.core.delivery import State
from services.notify.handler.delivering import tools_of
from services.notify.handler.endpoints import Change, Draft, Endpoints
from services.notify.store.endpoints import EndpointStore
from services.notify.store.ledger import REPLAY_MAX, Filter, Ledger
from services.runtime.clock import SystemClock
from services.runtime.errors import BadMessage
from services.runtime.secretbox import open_secret_box

T = TypeVar("T")

channels = typer.Typer(no_args_is_help=True, help="Where notices go beside the inbox.")
app.add_typer(channels, name="channel")

Name = Annotated[str, typer.Argument(help="A channel's name or id")]


@channels.command("kinds")
def channel_kinds() -> None:
    """Which kinds of channels there are, and what each needs."""
    for kind in KINDS.values():
        sys.stdout.write(f"{kind.name}: {kind.title}\n")
        for one in kind.fields:
            words = "made when not given" if one.made else "needed" if one.required else "optional"
            sys.stdout.write(f"  {one.name:16} {words}{', secret' if one.secret else ''}: {one.text}\n")


@channels.command("add")
def channel_add(  # noqa: PLR0917 options of a command
    name: str,
    kind: Annotated[str, typer.Option(help="webhook, slack_bot …; see lead-router channel kinds")],
    only: Annotated[list[str] | None, typer.Option(help="A kind of notice that it gets; again for more")] = None,
    rep: Annotated[list[str] | None, typer.Option(help="Only notices of this rep; again for more")] = None,
    segment: Annotated[list[str] | None, typer.Option(help="Only notices of this segment; again for more")] = None,
    feed: Annotated[
        bool | None, typer.Option("--feed/--personal", help="Every notice that fits, or a way to reach each rep")
    ] = None,
) -> None:
    """Add a channel. What its kind needs is read from standard input as JSON; what was made for it is shown this once."""
    draft = Draft(
        name=name,
        kind=kind,
        values=_values(),
        feed=feed,
        kinds=only or None,
        reps=rep or [],
        segments=segment or [],
    )

    async def work(endpoints: Endpoints) -> None:
        made, secrets = await endpoints.add(draft)
        show_json({"id": made.id, "name": made.name, "kind": made.kind, "feed": made.feed, "secrets": secrets})

    _with(work)


@channels.command("change")
def channel_change(  # noqa: PLR0917 options of a command
    name: Name,
    new_name: Annotated[str | None, typer.Option("--name", help="What it is called from now on")] = None,
    only: Annotated[list[str] | None, typer.Option(help="The kinds of notices that it gets; again for more")] = None,
    rep: Annotated[list[str] | None, typer.Option(help="Only notices of this rep; again for more; '' for all")] = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="Only notices of this segment; again for more; '' for all")
    ] = None,
    feed: Annotated[
        bool | None, typer.Option("--feed/--personal", help="Every notice that fits, or a way to reach each rep")
    ] = None,
) -> None:
    """Change a channel. Options are read from standard input as JSON ("" takes one away); what is not said stays.

    Another address wants the secrets that go there once more.
    """
    change = Change(
        name=new_name,
        values=_values(),
        feed=feed,
        kinds=only,
        reps=None if rep is None else [one for one in rep if one],
        segments=None if segment is None else [one for one in segment if one],
    )

    async def work(endpoints: Endpoints) -> None:
        one = await endpoints.change(name, change)
        show_json({"id": one.id, "name": one.name, "kind": one.kind, "feed": one.feed, "options": one.options})

    _with(work)


@channels.command("list")
def channel_list() -> None:
    """All channels, and how each is doing."""

    async def work(endpoints: Endpoints) -> list[tuple[object, ...]]:
        return [
            (
                one.id,
                one.name,
                one.kind,
                "feed" if one.feed else "personal",
                "on" if one.enabled else f"off: {one.disabled_reason}",
                one.due,
                one.last_ok_at,
                one.last_error,
            )
            for one in await endpoints.store.list()
        ]

    columns = ("id", "name", "kind", "use", "state", "due", "last ok", "last error")
    show_table(columns, _with(work), "There are no channels yet: notices are in the inbox alone.")


@channels.command("test")
def channel_test(
    name: Name,
    email: Annotated[str | None, typer.Option(help="To whom, where the channel finds people by their address")] = None,
) -> None:
    """Send a message that says it is a test. Exit code 1: it did not arrive."""
    result = _with(lambda endpoints: endpoints.test(name, email))
    say(f"{result.outcome} {result.detail}".strip())
    if result.outcome != "ok":
        raise typer.Exit(1)


@channels.command("rotate")
def channel_rotate(name: Name) -> None:
    """New secrets: those in the JSON on standard input (`{}`: none), and anew those that we make. The old hold meanwhile."""
    values = _values()

    async def work(endpoints: Endpoints) -> None:
        one, secrets = await endpoints.rotate(name, values)
        show_json({"id": one.id, "name": one.name, "secrets": secrets})

    _with(work)


@channels.command("disable")
def channel_disable(name: Name, on: Annotated[bool, typer.Option("--enable", help="Begin again")] = False) -> None:
    """Send nothing there; what waits stays (or, with --enable, goes out)."""

    async def work(endpoints: Endpoints) -> None:
        one = await endpoints.find(name)
        await endpoints.store.enable(one.id, on=on, reason="by_hand", now=SystemClock().now())

    _with(work)
    say(f"Channel {name} is {'enabled' if on else 'disabled'}.")


@channels.command("delete")
def channel_delete(name: Name) -> None:
    """Forget a channel, and what waits for it."""

    async def work(endpoints: Endpoints) -> None:
        await endpoints.store.delete((await endpoints.find(name)).id)

    _with(work)
    say(f"Channel {name} is gone.")


@channels.command("deliveries")
def channel_deliveries(
    name: Annotated[str | None, typer.Argument(help="A channel's name or id; all when not given")] = None,
    state: Annotated[State | None, typer.Option(help="Only in this state")] = None,
) -> None:
    """The newest hundred deliveries."""

    async def work(endpoints: Endpoints, ledger: Ledger) -> list[tuple[object, ...]]:
        wanted = Filter(endpoint=await _known(endpoints, name), state=state)
        fields = ("id", "name", "rep", "purpose", "state", "attempts", "created_at", "reason", "detail")
        return [tuple(row[field] for field in fields) for row in await ledger.page(wanted, 100, None)]

    columns = ("id", "channel", "rep", "purpose", "state", "tries", "made", "reason", "detail")
    show_table(columns, _with_both(work), "There are none.")


@channels.command("replay")
def channel_replay(
    name: Annotated[str | None, typer.Argument(help="A channel's name or id")] = None,
    one: Annotated[str | None, typer.Option("--delivery", help="This delivery alone, whatever became of it")] = None,
) -> None:
    """Send once more what was given up. Exit code 1: there is no such channel or delivery."""

    async def work(endpoints: Endpoints, ledger: Ledger) -> int:
        endpoint, now, done = await _known(endpoints, name), SystemClock().now(), 0
        while step := await ledger.replay(now, delivery_id=one, endpoint=endpoint):
            done += step
            if step < REPLAY_MAX:
                break
        return done

    done = _with_both(work)
    if one is not None and not done:
        msg = f"there is no delivery {one} that has ended"
        raise BadMessage(msg, code="not_found")
    say(f"{done} put back.")


async def _known(endpoints: Endpoints, name: str | None) -> str | None:
    """The id of a channel; raises when there is none of this name."""
    return None if name is None else (await endpoints.find(name)).id


def _values() -> dict[str, str]:
    """Options and secrets, from standard input: they must not stand in a shell's history."""
    text = read_text(Path("-")).strip() or "{}"
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError as error:
        msg = f'standard input is not a JSON object of texts, such as {{"url": "https://…"}}: {error}'
        raise BadMessage(msg, code="invalid") from error


def _with(work: Callable[[Endpoints], Awaitable[T]]) -> T:
    return _with_both(lambda endpoints, _ledger: work(endpoints))


def _with_both(work: Callable[[Endpoints, Ledger], Awaitable[T]]) -> T:
    conf = settings()

    async def run() -> T:
        async with opened(conf) as db:
            store = EndpointStore(db, open_secret_box(conf))
            return await work(Endpoints(store, tools_of(conf), SystemClock()), Ledger(db))

    return going(run())
