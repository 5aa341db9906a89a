"""Crash points: named where they stand, and the process ends at once at the armed one only."""

import subprocess
import sys
from pathlib import Path

from services.runtime import crash

ROOT = Path(__file__).parents[3]


def test_steps_are_registered_and_do_nothing_unarmed() -> None:
    name = crash.step("test.step", "for this test")
    assert crash.STEPS.pop(name) == "for this test"
    crash.reach(name)
    crash.arm("another")
    crash.reach(name)
    crash.arm(None)


def test_an_armed_step_ends_the_process_without_goodbye() -> None:
    code = "from services.runtime import crash; crash.arm('a'); crash.reach('b')\ntry:\n    crash.reach('a')\nfinally:\n    print('goodbye')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (137, b"")
