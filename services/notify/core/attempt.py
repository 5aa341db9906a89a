"""When is a delivery tried again? prepare → send → settle, and this is settle.

For channels with a far side (chat, mail, CRM): a delivery is a row with a due time. The inbox and the site need none,
since their readers come back with a cursor.
"""

from collections.abc import Mapping
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
# With full jitter under the cap the tries of one delivery take about half a day.
ATTEMPTS_MAX: Final = 100

Outcome = Literal["ok", "overloaded", "failed", "refused", "gone"]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the far side said.

    Attributes:
        outcome: `overloaded`: 429 or time-out; `failed`: may work later; `refused`: this message never will;
            `gone`: nothing will any more, the endpoint is over.
        retry_after_s: Its own wish in seconds, if any.
        detail: Words for operations; no secrets, no personal data.
        receipt: What the far side called the message, for a later change of it.
        uncertain: The far side may have taken it although it did not say so.
    """

    outcome: Outcome
    retry_after_s: float | None = None
    detail: str = ""
    receipt: Mapping[str, str] | None = None
    uncertain: bool = False


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


def backoff_s(attempts: int, draw: float, schedule: tuple[float, ...] = ()) -> float:
    """Seconds to wait after `attempts` tries: full jitter, from half of BASE_S up to CAP_S.

    Args:
        attempts: Tries so far, at least 1.
        draw: A random number in [0, 1), drawn by the caller.
        schedule: Pauses in seconds that stand for the doubling ones; each is taken within 20 % up or down, its last
            again and again.

    Source: full jitter keeps clients of a recovered far side from coming all at once (AWS, "Exponential backoff").
    """
    if schedule:
        return schedule[min(attempts, len(schedule)) - 1] * (0.8 + 0.4 * draw)
    ceiling = min(CAP_S, BASE_S * 2.0 ** min(attempts - 1, 30))
    return max(BASE_S / 2, draw * ceiling)


def settle(
    attempts: int,
    result: Result,
    *,
    worth_until: datetime | None,
    now: datetime,
    draw: float,
    schedule: tuple[float, ...] = (),
) -> Settled:
    """What becomes of a delivery after try number `attempts` (from 1).

    Args:
        worth_until: After this the message is worth nothing on this channel; None: always worth it.
        draw: A random number in [0, 1).
        schedule: See `backoff_s`; with one, there are as many tries after the first as it has pauses.
    """
    if result.outcome == "ok":
        return Delivered()
    if result.outcome in ("refused", "gone"):
        return GaveUp("refused" if result.outcome == "refused" else "endpoint_gone")
    if attempts >= (len(schedule) + 1 if schedule else ATTEMPTS_MAX):
        return GaveUp("attempts_exhausted")
    wait_s = backoff_s(attempts, draw, schedule)
    if result.outcome == "overloaded":
        wait_s = max(wait_s, OVERLOAD_S)
    if result.retry_after_s is not None:
        # Clamped both ways: never sooner than we would, never parked for hours.
        wait_s = max(wait_s, min(result.retry_after_s, RETRY_AFTER_MAX_S))
    due_at = now + timedelta(seconds=wait_s)
    if worth_until is not None and due_at > worth_until:
        return GaveUp("stale")
    return RetryAt(due_at, result.outcome)
