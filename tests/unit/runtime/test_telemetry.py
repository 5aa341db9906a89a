"""Log lines hold no personal data and no secrets."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from services.runtime.telemetry import HIDDEN, REGISTRY, hide

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("mail to anna.svensson+x@nordwind.example failed", f"mail to {HIDDEN}@nordwind.example failed"),
        ("postgresql://user:pass@host/db", f"postgresql://user:{HIDDEN}@host/db"),
        ("Bearer lr_admin_" + "a" * 43, f"Bearer lr_admin_{HIDDEN}"),
        (
            {"token": "x", "n": 1, "deep": [{"write_key": "y"}]},
            {"token": HIDDEN, "n": 1, "deep": [{"write_key": HIDDEN}]},
        ),
        (b"raw body", "<8 bytes>"),
        (ValueError("a@b.example"), f"{HIDDEN}@b.example"),
        (None, None),
        (1.5, 1.5),
    ],
)
def test_hiding(said: object, shown: object) -> None:
    assert hide(said) == shown


def test_lines_of_ours_and_of_libraries_are_json_and_clean() -> None:
    code = """
import logging, structlog
from services.runtime.telemetry import set_up_logging
set_up_logging("json", "info")
log = structlog.get_logger("ours")
log.info("told", to="anna@nordwind.example", api_key="k", count=3)
log.debug("not shown")
logging.getLogger("theirs").warning("lost %s", "ben@stella.example")
logging.getLogger("aiokafka").info("not shown")
try:
    raise ValueError("bad carl@kivi.example")
except ValueError:
    log.exception("broke")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert [line["event"] for line in lines] == ["told", f"lost {HIDDEN}@stella.example", "broke"]
    assert (lines[0]["to"], lines[0]["api_key"], lines[0]["count"]) == (f"{HIDDEN}@nordwind.example", HIDDEN, 3)
    assert lines[0]["level"] == "info"
    assert "ValueError" in lines[2]["exception"]
    assert not [name for name in ("anna", "ben@", "carl") if name in done.stderr]


def test_the_registry_is_our_own() -> None:
    assert "process_resident_memory_bytes" in {
        sample.name for metric in REGISTRY.collect() for sample in metric.samples
    }
    assert logging.getLogger("services") is not None
