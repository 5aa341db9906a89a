"""May this alert interrupt the rep? A token bucket per rep; what is over it comes quietly, never not at all."""

from datetime import datetime
from typing import Final

import msgspec

# People switch alerts off when they ring more often than they can act (docs: a notice takes about five minutes).
BURST: Final = 10.0
PER_HOUR: Final = 12.0


class Budget(msgspec.Struct, frozen=True):
    """Interruptions left (0 to `BURST`) at a moment."""

    left: float
    at: datetime


def spend(budget: Budget, now: datetime, *, burst: float = BURST, per_hour: float = PER_HOUR) -> tuple[Budget, bool]:
    """Take one interruption at `now`.

    Args:
        burst: Interruptions that may come at once, greater than 0.
        per_hour: Interruptions that come back in an hour, at least 0.

    Returns:
        The budget afterwards, and whether there was one left. A clock that goes back gives nothing.
    """
    passed_s = max(0.0, (now - budget.at).total_seconds())
    left = min(burst, budget.left + passed_s * per_hour / 3600)
    at = max(now, budget.at)
    if left < 1:
        return Budget(left, at), False
    return Budget(left - 1, at), True
