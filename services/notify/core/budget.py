"""May this alert interrupt the rep? What is over the budget comes quietly, or later in a digest: never not at all."""

from datetime import datetime, timedelta
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


# -- channels outside the inbox: exact, since a token bucket lets twice as many through in an unlucky hour

HOUR: Final = timedelta(hours=1)


def next_interrupt(times: tuple[datetime, ...], now: datetime, per_hour: int) -> datetime:
    """The first moment from `now` on at which one more interruption makes no hour with more than `per_hour`.

    Args:
        times: When the rep was, or will be, interrupted; in order.
        per_hour: At least 1.
    """
    recent = [t for t in times if t > now - HOUR]
    if len(recent) < per_hour:
        return now
    return max(now, recent[-per_hour] + HOUR)


def interrupted(times: tuple[datetime, ...], at: datetime, now: datetime) -> tuple[datetime, ...]:
    """`times` with one more at `at`, without those that no longer count at `now`."""
    return tuple(sorted([*(t for t in times if t > now - HOUR), at]))
