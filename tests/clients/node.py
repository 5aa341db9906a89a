"""Node and the vendors' packages: are they here?"""

import shutil
from pathlib import Path

from tests.support.missing import part_missing

MODULES = Path(__file__).parent / "node_modules"


def node() -> str:
    """Node's program. Missing, or without the packages: skipped aloud, and failed in CI."""
    found = shutil.which("node")
    if found is None:
        part_missing("no Node (apt install nodejs npm): the vendors' Node clients are not driven")
    packages()
    return found


def packages() -> Path:
    """The folder of the vendors' packages, for pages and programs."""
    if not (MODULES / ".package-lock.json").is_file():
        part_missing("the vendors' Node and browser clients are not installed (make node-clients)")
    return MODULES
