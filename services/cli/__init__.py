"""The one command, `lead-router`: runs the stages and answers operators' questions."""

import asyncio
import io
import sys
import urllib.error
import urllib.request
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import structlog
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from services.runtime.errors import LeadRouterError, Misconfigured, Unavailable
from services.runtime.settings import Settings
from services.runtime.telemetry import set_up_logging

T = TypeVar("T")

EXIT_WRONG = 1
EXIT_MISCONFIGURED = 78  # sysexits.h EX_CONFIG
HEALTH_TIMEOUT_S = 4.0

app = typer.Typer(
    name="lead-router",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def settings() -> Settings:
    """The settings of the environment, or a clear word on what is wrong with them."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"LEAD_ROUTER_{'_'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors(include_input=False)
        )
        raise Misconfigured(wrong) from error


def going(work: Coroutine[Any, Any, T]) -> T:
    """Run on the fast event loop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def _process(mode: str) -> None:
    from services.cli.run import run

    conf = settings()
    set_up_logging(conf.log, conf.log_level)
    raise typer.Exit(going(run(conf, mode)))  # type: ignore[arg-type]  # a Mode by construction


def _version(wanted: bool) -> None:
    if wanted:
        from services.runtime.http import VERSION

        sys.stdout.write(f"lead-router {VERSION}\n")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version, and end")
    ] = False,
) -> None:
    """Lead routing: events in, leads scored, the right person told while it is hot."""


@app.command()
def up() -> None:
    """Run everything in one process: all stages, the HTTP API, and PostgreSQL unless a database URL is set."""
    _process("up")


@app.command()
def ingest() -> None:
    """Run stage 1: takes events over HTTP and writes them to the log."""
    _process("ingest")


@app.command()
def scoring() -> None:
    """Run stage 2: reads events, keeps fit and engagement of each lead."""
    _process("scoring")


@app.command()
def router() -> None:
    """Run stage 3: decides who works each lead."""
    _process("router")


@app.command()
def notify() -> None:
    """Run stage 4: tells people."""
    _process("notify")


@app.command()
def api() -> None:
    """Serve the HTTP API and the pages of all rooms, and consume nothing."""
    _process("api")


@app.command()
def health() -> None:
    """Ask the service on this machine whether its loops turn: for container health checks."""
    url = f"{settings().local_url}/livez"
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_TIMEOUT_S) as answer:  # noqa: S310 our own address, http always
            sys.stdout.write(answer.read().decode() + "\n")
    except OSError as error:
        said = error.read(2000).decode("utf-8", "replace") if isinstance(error, urllib.error.HTTPError) else error
        msg = f"{url} says no: {said}"
        raise Unavailable(msg) from error


@app.command()
def demo(
    story: Annotated[list[str] | None, typer.Option("--story", help="Only this story; may be given again")] = None,
) -> None:
    """Play the example company's stories against the running service."""
    from services.cli.demo import run

    raise typer.Exit(run(settings().data_dir, story))


def main() -> None:
    """The entry point: our own errors become one clear line and an exit code."""
    # Containers ask for their health every few seconds: that must not cost what the other commands stand on.
    own = {one.callback.__name__ for one in app.registered_commands if one.callback is not None}
    if not own.intersection(sys.argv[1:2]):
        from services.cli import channels, data, ops, sources  # noqa: F401 they register their commands

    set_up_logging(None, "warning")  # a process that stays sets its own
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show ends no command
    try:
        app(prog_name="lead-router")
    except Misconfigured as error:
        _complain(error)
        sys.exit(EXIT_MISCONFIGURED)
    except LeadRouterError as error:
        _complain(error)
        sys.exit(EXIT_WRONG)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: LeadRouterError) -> None:
    from services.cli.screen import harmless

    structlog.get_logger(__name__).debug("ended", code=error.code)
    words = escape(harmless(error.message))
    Console(stderr=True).print(f"[bold red]lead-router:[/bold red] {words}", soft_wrap=True, highlight=False)
