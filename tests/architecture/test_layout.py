"""The shape of the code: what import-linter and ruff do not see."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import schemas
import services

ROOT = Path(__file__).parents[2]
CODE = sorted(path for top in ("services", "schemas") for path in (ROOT / top).rglob("*.py"))
LINES_MAX = 400
STAGES = ("ingest", "scoring", "router", "notify")
# Names that say nothing about what a file answers.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "shared"}
PURE_FORBIDDEN = {"asyncio", "time", "random", "os", "logging", "socket", "secrets", "subprocess", "threading"}


def modules() -> list[str]:
    names = [
        found.name
        for package in (services, schemas)
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        # Run, not imported: the entry of the command, and Alembic's door and steps.
        if not found.name.endswith(".__main__") and not found.name.startswith("services.migrations.")
    ]
    return [*names, "services.migrations.run"]


def test_every_module_can_be_imported_first() -> None:
    """Each as the first of a fresh process: no hidden cycle, nothing that only works after another import."""
    # Forked from a process that has the libraries loaded, so that each takes milliseconds.
    code = f"""
import importlib, os, sys
import fastapi, sqlalchemy.ext.asyncio, asyncpg, structlog, msgspec, prometheus_client, uvicorn, yaml, cryptography
failed = []
for name in {modules()!r}:
    child = os.fork()
    if child == 0:
        try:
            importlib.import_module(name)
        except BaseException as error:
            sys.stderr.write(f"{{name}}: {{error!r}}\\n")
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(f"cannot be imported first: {{failed}}" if failed else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_named_for_what_they_answer(path: Path) -> None:
    assert path.stem not in EMPTY_NAMES
    assert len(path.read_text().splitlines()) <= LINES_MAX


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("room", [*STAGES, "policy", "directory", "eventlog"])
def test_cores_ask_neither_clock_nor_chance_nor_system(room: str) -> None:
    for path in (ROOT / "services" / room / "core").rglob("*.py"):
        used = {name.split(".")[0] for name in imports(path)}
        assert not used & PURE_FORBIDDEN, f"{path.relative_to(ROOT)} imports {sorted(used & PURE_FORBIDDEN)}"


@pytest.mark.parametrize("stage", STAGES)
def test_stages_meet_only_in_the_log(stage: str) -> None:
    others = set(STAGES) - {stage}
    for path in (ROOT / "services" / stage).rglob("*.py"):
        for name in imports(path):
            parts = name.split(".")
            assert not (parts[0] == "services" and len(parts) > 1 and parts[1] in others), f"{path} imports {name}"


SQL_SCHEMAS = {
    "access": "runtime",
    "log": "eventlog",
    **{room: room for room in ("policy", "directory", "ingest", "scoring", "router", "notify")},
}
READS = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE(?: ONLY)?)\s+(access|log|policy|directory|ingest|scoring|router|notify)\.[a-z_]+\b"
)


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_a_room_reads_its_own_tables(path: Path) -> None:
    room = path.relative_to(ROOT).parts[1]
    if path.relative_to(ROOT).parts[:2] == ("services", "migrations"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for schema in READS.findall(node.value):
                assert SQL_SCHEMAS[schema] == room, f"{path}:{node.lineno} reads {schema}'s tables"


def test_nothing_is_built_at_import() -> None:
    """Importing everything opens no socket and starts no thread: services/cli composes."""
    code = (
        "import socket, threading, importlib\n"
        "def no(*a, **k): raise SystemExit('a socket at import')\n"
        "socket.socket.connect = no\n"
        f"for name in {modules()!r}: importlib.import_module(name)\n"
        "extra = [t.name for t in threading.enumerate() if t is not threading.main_thread()]\n"
        "raise SystemExit(f'threads at import: {extra}' if extra else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_modules_are_there() -> None:
    assert importlib.import_module("services.runtime.http")
    assert len(modules()) > 20
