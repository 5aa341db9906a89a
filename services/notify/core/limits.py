"""How many deliveries may an endpoint get now? A rate with a small burst (GCRA), and pauses while it fails."""

from datetime import datetime, timedelta

import msgspec

from services.notify.core.attempt import RETRY_AFTER_MAX_S, Result, backoff_s


def room(now: datetime, tat: datetime | None, *, per_s: float, burst: int) -> int:
    """How many may start at `now`, 0 to `burst`.

    Args:
        tat: The theoretical arrival time that `taken` gave last; None: the endpoint was never used.
        per_s: Lasting rate, greater than 0.
        burst: How many may start at once, at least 1.

    Source: generic cell rate algorithm, ITU-T I.371.
    """
    ahead_s = max(0.0, (tat - now).total_seconds()) if tat is not None else 0.0
    # A nanosecond of rounding must not cost a whole delivery.
    return max(0, min(burst, int(burst - ahead_s * per_s + 1e-6)))


def taken(now: datetime, tat: datetime | None, count: int, *, per_s: float) -> datetime:
    """The next theoretical arrival time, once `count` have started at `now`."""
    return max(now, tat or now) + timedelta(seconds=count / per_s)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How an endpoint is doing.

    Attributes:
        failures: Tries in a row that failed.
        failing_since: When the first of them was; a refused message counts here too.
        pause_until: Nobody is sent there before this.
    """

    failures: int = 0
    failing_since: datetime | None = None
    pause_until: datetime | None = None


def after(health: Health, result: Result, now: datetime, draw: float) -> Health:
    """How it is doing after one more try. While it fails, one delivery at a time asks whether it is back."""
    if result.outcome == "ok":
        return Health()
    since = health.failing_since or now
    if result.outcome in ("refused", "gone"):
        return Health(failures=health.failures, failing_since=since, pause_until=health.pause_until)
    failures = health.failures + 1
    wait_s = backoff_s(failures, draw)
    if result.retry_after_s is not None:
        wait_s = max(wait_s, min(result.retry_after_s, RETRY_AFTER_MAX_S))
    until = now + timedelta(seconds=wait_s)
    return Health(failures=failures, failing_since=since, pause_until=max(until, health.pause_until or until))


def disabled(health: Health, result: Result, now: datetime, disable_after_s: float) -> str | None:
    """Why the endpoint must be disabled; None when it goes on."""
    if result.outcome == "gone":
        return "endpoint_gone"
    since = health.failing_since
    if since is not None and (now - since).total_seconds() > disable_after_s:
        return "failing_long"
    return None
