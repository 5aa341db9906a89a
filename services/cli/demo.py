"""`lead-router demo`: plays the example company's stories against a running service and says what was seen."""

import asyncio
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.cli.client import Client
from services.cli.stories import Seen, Teller
from services.runtime.errors import BadMessage, LeadRouterError


async def play(data_dir: Path, console: Console, only: list[str] | None = None) -> bool:
    """Tell the stories one by one.

    Args:
        data_dir: Folder with the service's `access.json`.
        only: Names of the stories to tell; all of them when empty. Some build on earlier ones.

    Returns:
        Whether every promise was kept.
    """
    client = Client.from_folder(data_dir)
    kept = broken = 0
    try:
        teller = Teller(client)
        names = [story[0] for story in teller.stories()]
        if unknown := next((one for one in only or () if one not in names), None):
            msg = f"there is no story {unknown!r}; one of {', '.join(names)}"
            raise BadMessage(msg, code="not_found")
        await client.get("/v1/leads?limit=1")
        stories = [s for s in teller.stories() if not only or s[0] in only]
        console.print(f"Playing {len(stories)} stories against [bold]{client.access['url']}[/bold]\n")
        for number, (name, comes_in, tell) in enumerate(stories, 1):
            seen: list[Seen] = []
            with Progress(
                SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
            ) as progress:
                task = progress.add_task(f"{number}/{len(stories)} {name}: {comes_in}")
                try:
                    async for promise in tell():
                        seen.append(promise)
                        progress.update(task, description=f"{number}/{len(stories)} {name}: {promise.promise}")
                except LeadRouterError as error:
                    seen.append(Seen("the story can be told", error.message, kept=False))
            console.print(_table(f"{number}. {name}", comes_in, seen))
            kept += sum(s.kept for s in seen)
            broken += sum(not s.kept for s in seen)
    finally:
        await client.close()
    style = "green" if not broken else "red"
    console.print(f"\n[{style}]{kept} of {kept + broken} promises kept[/{style}]")
    return not broken


def _table(name: str, comes_in: str, seen: list[Seen]) -> Table:
    table = Table(
        title=f"[bold]{name}[/bold]: {comes_in}", title_justify="left", show_header=False, box=None, pad_edge=False
    )
    table.add_column(width=3)
    table.add_column(ratio=1)
    table.add_column(ratio=1, style="dim")
    for one in seen:
        table.add_row("[green]✓[/green]" if one.kept else "[red]✗[/red]", one.promise, one.seen)
    return table


def run(data_dir: Path, only: list[str] | None = None) -> int:
    """The command: 0 when every promise was kept, 1 when not."""
    return 0 if asyncio.run(play(data_dir, Console(), only)) else 1
