"""What the command prints: text of strangers as text, words for people, tabs for programs, exit codes."""

import io
import os
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from services import cli
from services.cli import app, beside, data
from services.cli.client import Client
from services.cli.demo import play
from services.cli.stories import Teller
from services.runtime.errors import BadMessage, Misconfigured, Unavailable
from services.runtime.http import VERSION
from services.runtime.telemetry import coloured

ROOT = Path(__file__).parents[3]
HOSTILE = "[/b] [red]Vera[/red]\x1b]0;owned\x07 \x9b31m Väinö\t1\n2"
SHOWN = "[/b] [red]Vera[/red]�]0;owned� �31m Väinö 1 2"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    file = io.StringIO()
    monkeypatch.setattr(beside, "out", Console(file=file, force_terminal=True, width=200, color_system=None))
    return file


def test_a_table_shows_the_text_of_strangers_as_text(terminal: io.StringIO) -> None:
    beside.show_table(("id", "name"), [(1, HOSTILE), (2, None)], "none")
    first, second, *_ = terminal.getvalue().splitlines()
    assert first.split() == ["id", "name"]
    assert SHOWN in second


def test_programs_get_one_line_a_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "out", Console(file=io.StringIO()))
    beside.show_table(("id", "name"), [(1, HOSTILE + "\r\n\u2028x")], "none")
    assert capsys.readouterr().out.splitlines() == ["id\tname", f"1\t{SHOWN}   x"]


def test_a_sentence_is_neither_marked_up_nor_cut_into_lines(terminal: io.StringIO) -> None:
    beside.say("[bold]policy.yaml[/x]: in order \x1b[2J " + "x" * 300)
    assert terminal.getvalue() == "[bold]policy.yaml[/x]: in order �[2J " + "x" * 300 + "\n"


def test_a_complaint_keeps_the_words_of_whoever_was_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["lead-router", "policy", "check", str(tmp_path / "[/x] [red].yaml")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "[/x] [red].yaml: No such file or directory" in capsys.readouterr().err


def test_names_of_all_alphabets_end_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["lead-router", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    sys.stdout.write("Väinö")
    sys.stdout.flush()
    assert raw.getvalue().endswith(b"V\\xe4in\\xf6")


def test_the_version_is_one() -> None:
    said = CliRunner().invoke(app, ["--version"])
    assert (said.exit_code, said.output) == (0, f"lead-router {VERSION}\n")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert f":-{VERSION}}}" in (ROOT / "docker-compose.yml").read_text()


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("token", "create", "--role", "boss"), "marketing"),
        (("dead", "list", "--stage", "kitchen"), "scoring"),
        (("channel", "deliveries", "--state", "lost"), "gave_up"),
    ],
)
def test_a_word_that_is_none_of_the_known_is_refused_with_them(words: tuple[str, ...], known: str) -> None:
    assert data.tokens
    typer.main.get_command(app)
    said = CliRunner().invoke(app, list(words))
    assert said.exit_code == 2
    assert known in said.output


async def test_a_story_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "access.json").write_text('{"url": "http://127.0.0.1:9"}')
    with pytest.raises(BadMessage, match="no story 'nonsense'; one of named account, MQL"):
        await play(tmp_path, Console(file=io.StringIO()), ["MQL", "nonsense"])


async def test_a_story_without_those_before_it_says_so() -> None:
    teller = Teller(Client({"url": "http://127.0.0.1:9"}))
    for tell in (teller.again, teller.answers):
        (seen,) = [one async for one in tell()]
        assert (seen.kept, seen.seen) == (False, "play the stories before it too")
    await teller.client.close()


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_access_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "access.json").write_text(content)
    with pytest.raises(Misconfigured, match="is damaged"):
        Client.from_folder(tmp_path)


def test_colours_stand_on_terminals_only_and_nowhere_when_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured(Terminal())
    assert not coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(Terminal())


def test_a_health_check_loads_little() -> None:
    code = (
        "import sys; sys.argv = ['lead-router', 'health']\n"
        "from services.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    print(end.code, sorted({'sqlalchemy', 'fastapi', 'asyncpg', 'httpx'} & set(sys.modules)))"
    )
    environment = {**os.environ, "LEAD_ROUTER_PORT": "9", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=60, check=True
    )
    assert done.stdout == "1 []\n"
    assert "http://127.0.0.1:9/livez says no" in done.stderr


def test_a_health_check_says_what_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()
            self.wfile.write(b"not turning: scoring for 61 s")

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Stuck) as server:
        monkeypatch.setenv("LEAD_ROUTER_PORT", str(server.server_port))
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        with pytest.raises(Unavailable, match="not turning: scoring for 61 s"):
            cli.health()
        answering.join(10)


def test_no_command_makes_a_database_in_the_wrong_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEAD_ROUTER_DATABASE_URL", raising=False)
    monkeypatch.setenv("LEAD_ROUTER_DATA_DIR", str(tmp_path / "elsewhere"))
    for command in (["explain", "maria@fjordsoft.example"], ["dead", "list"], ["token", "list"], ["source", "list"]):
        error = CliRunner().invoke(app, command).exception
        assert isinstance(error, Misconfigured)
        assert f"no database in {tmp_path / 'elsewhere'}" in str(error)
    assert not (tmp_path / "elsewhere").exists()
