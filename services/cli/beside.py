"""How a command works beside a running service: same settings, same database, a plain answer on the screen."""

import contextlib
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.cli.compose import database
from services.cli.screen import harmless
from services.migrations.run import migrate
from services.runtime.db import Database
from services.runtime.embedded import made
from services.runtime.errors import BadMessage, Misconfigured
from services.runtime.settings import Settings

out = Console()
FILE_MAX_BYTES = 16_777_216


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The migrated database of the settings.

    Raises:
        Misconfigured: Nobody has made one there: a new and empty one would answer as if there were no leads.
    """
    if settings.database_url is None and settings.environment == "local" and not made(settings.data_dir):
        msg = (
            f"there is no database in {settings.data_dir.expanduser().resolve()}; set LEAD_ROUTER_DATA_DIR to the data "
            "folder of the service, or make one: lead-router up, or lead-router migrate"
        )
        raise Misconfigured(msg)
    async with database(settings, beside=True) as db:
        if settings.environment == "local":
            await migrate(db)
        yield db


def read_file(path: Path) -> bytes:
    """A file named on the command line; `-` is standard input."""
    try:
        if str(path) == "-":
            if sys.stdin.isatty():
                sys.stderr.write("Reading from the keyboard; end with Ctrl-D.\n")
            body = sys.stdin.buffer.read(FILE_MAX_BYTES + 1)
        else:
            body = path.read_bytes()
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise BadMessage(msg, code="bad_file") from error
    if len(body) > FILE_MAX_BYTES:
        msg = f"{path} is larger than {FILE_MAX_BYTES // 1_048_576} MiB; split it"
        raise BadMessage(msg, code="too_large")
    return body


def read_text(path: Path) -> str:
    """A UTF-8 file named on the command line."""
    body = read_file(path)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8: byte {error.start}; save it as UTF-8"
        raise BadMessage(msg, code="bad_encoding") from error


def say(text: str) -> None:
    """A sentence on standard output, as it is: no markup, no line cut, and nothing that a terminal would obey."""
    out.print(Text(harmless(text)), soft_wrap=True)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str) -> None:
    """Rows for people; tab-separated for programs when the output is no terminal."""
    if not out.is_terminal:
        for row in (columns, *rows):
            sys.stdout.write("\t".join(map(_cell, row)) + "\n")
        return
    if not rows:
        say(empty)
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    out.print(table)


def _cell(content: Any) -> str:
    """What stands in a table, on one line."""
    return "" if content is None else harmless(re.sub(r"[\t\r\n\u2028\u2029]", " ", str(content)))


def show_json(content: Any) -> None:
    """Indented JSON on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
