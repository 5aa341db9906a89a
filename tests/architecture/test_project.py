"""The project's own promises: targets, pins, gates that really fire, nothing private in the text."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = {"run", "demo", "test", "check", "bench", "chaos", "help", "clean"}


def lines(path: str) -> list[str]:
    return (ROOT / path).read_text().splitlines()


def test_make_alone_shows_every_target() -> None:
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    shown = {line.split()[1] for line in said.splitlines() if line.startswith("  make ")}
    there = {found[1] for line in lines("Makefile") if (found := re.match(r"([a-z][a-z-]*):", line))}
    assert shown == there
    assert shown >= TARGETS


def test_ci_runs_make_check_and_nothing_else_decides() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.rstrip().endswith("make check")
    assert "set -euo pipefail" in script
    for name in ("run", "install", "lead-router"):
        assert (ROOT / ".ci" / name).stat().st_mode & 0o111
        subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True, timeout=30)


def wanted(path: str) -> set[str]:
    names = (re.match(r"([A-Za-z0-9._-]+)", line) for line in lines(path) if line and not line.startswith(("#", "-")))
    return {re.sub(r"[-_.]+", "-", name[1]).lower() for name in names if name}


@pytest.mark.parametrize(
    ("asked", "pinned"), [("requirements.in", "requirements.txt"), ("requirements-dev.in", "requirements-dev.txt")]
)
def test_everything_is_pinned_with_hashes_and_names_no_index(asked: str, pinned: str) -> None:
    text = (ROOT / pinned).read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.split("\n", 2)[2])
    names = set()
    for block in blocks:
        head = re.match(r"([A-Za-z0-9._-]+)(?:\[[a-z0-9, _-]+\])?==[^\s;]+", block)
        assert head, block[:80]
        assert "--hash=sha256:" in block, head[0]
        names.add(re.sub(r"[-_.]+", "-", head[1]).lower())
    assert wanted(asked) <= names
    assert "://" not in re.sub(r"https?://\S+(?= via)", "", text)
    assert "--index-url" not in "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def test_the_development_pins_hold_the_product_pins() -> None:
    def pins(path: str) -> dict[str, str]:
        return dict(
            found.groups()
            for line in lines(path)
            if (found := re.match(r"([A-Za-z0-9._-]+(?:\[[a-z0-9, _-]+\])?)==(\S+)", line))
        )

    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


def test_the_project_asks_for_what_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"]["file"] == ["requirements.in"]
    assert project["project"]["scripts"] == {"lead-router": "services.cli:main"}


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import httpx\n", "TID251"),
        ("import aiokafka\n", "TID251"),
        ("import time\n\nNOW = time.time()\n", "TID251"),
        ("from datetime import datetime\n\nNOW = datetime.now()\n", "TID251"),
        ("from sqlalchemy.ext.asyncio import create_async_engine\n", "TID251"),
        ("from . import clock\n", "TID252"),
        ("try:\n    pass\nexcept Exception:\n    pass\n", "BLE001"),
        ("print(1)\n", "T201"),
    ],
)
def test_the_fences_of_ruff_fire(code: str, rule: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--output-format=concise",
            "--stdin-filename",
            "services/router/new.py",
            "-",
        ],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert rule in done.stdout


def test_import_contracts_fire(tmp_path: Path) -> None:
    """A copy of the tree with one forbidden import: the contract must break. (A gate that cannot fail is no gate.)"""
    copied = subprocess.run(
        f"cp -r services schemas pyproject.toml {tmp_path} && mkdir -p {tmp_path}/x", cwd=ROOT, shell=True, check=False
    )
    assert copied.returncode == 0
    core = tmp_path / "services" / "policy" / "core" / "condition.py"
    core.write_text("import asyncio\nimport services.notify.service\n" + core.read_text())
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode != 0
    assert "services.policy.core.condition -> services.notify.service" in done.stdout
    assert "asyncio" in done.stdout


def test_the_text_names_no_private_place() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    if tracked.returncode != 0:
        pytest.skip("no git checkout")
    private = re.compile(r"(?<![\w.])/(?:work|root)/\w")
    for name in tracked.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file() and path != Path(__file__) and not name.endswith((".png", ".ico", ".gz", ".woff2")):
            found = private.search(path.read_text(errors="replace"))
            assert not found, f"{name} names {found[0] if found else ''}"
