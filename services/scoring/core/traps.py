"""Was the clicked link one that people cannot see? Links that the operator has hidden in mails to catch scanners."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

# A shorter part would be in too many addresses.
PART_MIN: Final = 4
LINKS_MAX: Final = 200
REMEMBERED_MAX: Final = 20_000


def trap_of(words: str) -> Callable[[str], bool] | None:
    """Whether an address is that of a hidden link; None when there are none.

    Args:
        words: Parts of the hidden links' addresses or link ids, separated by blanks.

    Raises:
        ValueError: A part is too short, or there are too many.
    """
    parts = sorted(set(words.split()))
    if not parts:
        return None
    for part in parts:
        if len(part) < PART_MIN:
            msg = f"{part!r} is in too many addresses: give at least {PART_MIN} characters"
            raise ValueError(msg)
    if len(parts) > LINKS_MAX:
        msg = f"{len(parts)} hidden links; at most {LINKS_MAX} are taken"
        raise ValueError(msg)
    found = re.compile("|".join(map(re.escape, parts))).search

    @lru_cache(REMEMBERED_MAX)
    def trap(address: str) -> bool:
        return found(address) is not None

    return trap
