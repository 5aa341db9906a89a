"""What a person sees at the start: where it runs, and the shortest way to a first event."""

from typing import Any, Final

from rich.console import Console
from rich.markup import escape

# What a terminal obeys instead of showing it, but for tabs and ends of lines.
CONTROLS: Final = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")


def harmless(text: str) -> str:
    """`text` as a terminal may have it, whoever has written it: nothing in it moves the cursor or changes the screen."""
    return text.translate(CONTROLS)


def show_ready(
    console: Console, *, url: str, mode: str, log_kind: str, access: dict[str, Any] | None, seeded: bool, data_dir: str
) -> None:
    """The first screen. On something that is no terminal it stays plain text."""
    if access is None:
        console.print(
            f"Lead Router ({mode}) takes events at [bold]{escape(url)}[/bold] over {escape(log_kind)}.", highlight=False
        )
        return
    key = access["source"]
    lines = [
        f"[bold green]Lead Router is ready[/bold green]  {escape(url)}   ({escape(log_kind)})",
        "",
        f"Console    {escape(url)}/   sign in with a token of {escape(data_dir)}/access.json",
        f"Demo site  {escape(url)}/demo-site   a made-up company's site that greets its visitors",
        "",
        "One event  "
        + escape(
            f"curl -u {key}: {url}/v1/track -H 'content-type: application/json' "
            '-d \'{"userId":"u1","event":"Demo Requested","context":{"traits":{"email":"jan@fjordsoft.example"}}}\''
        ),
        "",
        "Segment    " + escape(f"analytics.write_key, analytics.host = '{key}', '{url}'"),
        "",
        "Stories    make demo      plays the example company live",
        "Stop       Ctrl-C         nothing is lost; the next start takes seconds",
    ]
    if seeded:
        lines.insert(2, "The example company was loaded: examples/policy.yaml, accounts.csv, team.yaml")
    console.print()
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    console.print()
