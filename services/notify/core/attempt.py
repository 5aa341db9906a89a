"""When is a delivery tried again? prepare → send → settle, and this is settle.

For channels with a far side (chat, mail, CRM): a delivery is a row with a due time. The inbox and the site need none,
since their readers come back with a cursor.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

# The far side is asked again after about 2, 4, 8 … seconds, at most every 15 minutes: an hour of errors costs ten calls.
BASE_S: Final = 2.0
CAP_S: Final = 900.0
# A far side that says 429 or does not answer is overloaded: it gets at least this pause.
OVERLOAD_S: Final = 60.0
# A Retry-After beyond this is either a mistake or the far side parking us.
RETRY_AFTER_MAX_S: Final = 3600.0
ATTEMPTS_MAX: Final = 12


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the far side said. `overloaded`: 429 or time-out. `retry_after_s`: its own wish in seconds, if any."""

    outcome: Literal["ok", "overloaded", "failed", "refused"]
    retry_after_s: float | None = None
    detail: str = ""


class Delivered(msgspec.Struct, frozen=True):
    """Done."""


class RetryAt(msgspec.Struct, frozen=True):
    """Try again at `due_at`."""

    due_at: datetime
    reason: str


class GaveUp(msgspec.Struct, frozen=True):
    """Never again. `reason` is a stable code."""

    reason: str


Settled = Delivered | RetryAt | GaveUp


def backoff_s(attempts: int, draw: float) -> float:
    """Seconds to wait after `attempts` tries: full jitter, from half of BASE_S up to CAP_S.

    Args:
        attempts: Tries so far, at least 1.
        draw: A random number in [0, 1), drawn by the caller.

    Source: full jitter keeps clients of a recovered far side from coming all at once (AWS, "Exponential backoff").
    """
    ceiling = min(CAP_S, BASE_S * 2.0 ** min(attempts - 1, 30))
    return max(BASE_S / 2, draw * ceiling)


def settle(attempts: int, result: Result, *, worth_until: datetime | None, now: datetime, draw: float) -> Settled:
    """What becomes of a delivery after try number `attempts` (from 1).

    Args:
        worth_until: After this the message is worth nothing on this channel; None: always worth it.
        draw: A random number in [0, 1).
    """
    if result.outcome == "ok":
        return Delivered()
    if result.outcome == "refused":
        return GaveUp("refused")
    if attempts >= ATTEMPTS_MAX:
        return GaveUp("attempts_exhausted")
    wait_s = backoff_s(attempts, draw)
    if result.outcome == "overloaded":
        wait_s = max(wait_s, OVERLOAD_S)
    if result.retry_after_s is not None:
        # Clamped both ways: never sooner than we would, never parked for hours.
        wait_s = max(wait_s, min(result.retry_after_s, RETRY_AFTER_MAX_S))
    due_at = now + timedelta(seconds=wait_s)
    if worth_until is not None and due_at > worth_until:
        return GaveUp("stale")
    return RetryAt(due_at, result.outcome)
