"""Named steps at which a test may end the process at once, as `kill -9` would.

The steps are registered where they stand, so that a test can list all of them and try each.
"""

import os
from typing import Final

STEPS: Final[dict[str, str]] = {}
_at: str | None = None


def step(name: str, about: str) -> str:
    """Register a crash point at import; returns the name."""
    STEPS[name] = about
    return name


def arm(name: str | None) -> None:
    """End the process when step `name` is reached. None disarms."""
    global _at  # noqa: PLW0603 one switch for the process, set once at start
    _at = name


def reach(name: str) -> None:
    """Called at the step; costs one comparison when not armed."""
    if _at is not None and _at == name:
        os._exit(137)
