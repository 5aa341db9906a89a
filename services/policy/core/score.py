"""Engagement from counters: points, caps, half-lives and saturation applied at read.

State is integers, thousandths of an event per (signal, UTC day); nothing here depends on the order of events. The
events of a day count at the day's middle, but never in the future.

Source: Cormode et al., "Forward decay", ICDE 2009; docs/policy.md, "How engagement is counted"
"""

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from schemas.messages import CurvePart
from services.policy.core.policy import SignalRule

DAY_MS: Final = 86_400_000
THOUSAND: Final = 1000  # counters hold thousandths of an event
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DUST: Final = 1e-9  # points below this are nothing
_STEPS: Final = 4096  # bound of the search for a crossing of a curve that does not only fall


class EngagementPart(msgspec.Struct, frozen=True):
    """What one signal gives to the score now, saturated."""

    signal: str
    points: float


class Engagement(msgspec.Struct, frozen=True):
    """The score and its parts, largest first. Not rounded; never below 0."""

    score: float
    parts: list[EngagementPart]


def ms_of(at: datetime) -> int:
    """Unix milliseconds of an aware time, exactly."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def day_of(at: datetime) -> int:
    """Days since 1970-01-01, UTC."""
    return (at - _EPOCH).days


def curve(counts: Iterable[tuple[SignalRule, int, int]], as_of_ms: int) -> list[CurvePart]:
    """Points of each signal at `as_of_ms`, before saturation.

    Args:
        counts: (rule, UTC day number, thousandths of an event). The same rule and day may come several times, from
            several identifiers of one lead: they are added before the daily cap.
        as_of_ms: Unix milliseconds.

    Returns:
        Parts by signal name; signals without points are left out. Equal counts give equal parts, in any order.
    """
    days: dict[str, tuple[SignalRule, dict[int, int]]] = {}
    for rule, day, thousandths in counts:
        if rule.points:
            _, of_rule = days.setdefault(rule.name, (rule, {}))
            of_rule[day] = of_rule.get(day, 0) + thousandths
    parts = []
    for name in sorted(days):
        rule, of_rule = days[name]
        total = 0.0
        for day in sorted(of_rule):
            counted = min(max(of_rule[day], 0), rule.daily_cap * THOUSAND)
            age_ms = max(as_of_ms - (day * DAY_MS + DAY_MS // 2), 0)
            total += counted * _left(age_ms / 1000, rule.half_life_s)
        points = total * rule.points / THOUSAND
        if abs(points) > _DUST:
            parts.append(CurvePart(signal=name, points=points, half_life_s=rule.half_life_s, cap=rule.saturation))
    return parts


def engagement(parts: Iterable[CurvePart], as_of: datetime, now: datetime) -> Engagement:
    """The score at `now` of a curve made at `as_of`.

    Returns:
        Score at least 0: bad signs take away, but nobody owes us interest. A `now` before `as_of` counts as `as_of`.
    """
    age_s = max((now - as_of).total_seconds(), 0.0)
    shown = [EngagementPart(part.signal, _value(part, age_s)) for part in parts]
    if len(shown) > 1:
        shown.sort(key=lambda p: (-abs(p.points), p.signal))
    return Engagement(max(math.fsum([p.points for p in shown]), 0.0), [p for p in shown if abs(p.points) > _DUST])


def points_at(parts: Iterable[CurvePart], as_of: datetime, now: datetime) -> list[float]:
    """What each part of a curve gives at `now`, saturated, in the order of the parts."""
    age_s = max((now - as_of).total_seconds(), 0.0)
    return [_value(part, age_s) for part in parts]


def window_count(pairs: Iterable[Sequence[int]], days: int, now: datetime) -> float:
    """Events in the last `days` UTC days, today included.

    Args:
        pairs: [UTC day number, thousandths of an event].

    Returns:
        Events, in steps of a thousandth; at least 0. Days after `now` count: nothing has happened in the future.
    """
    first = day_of(now) - days + 1
    return max(sum(thousandths for day, thousandths in pairs if day >= first), 0) / THOUSAND


def next_crossing_down(parts: Sequence[CurvePart], as_of: datetime, theta: float, now: datetime) -> datetime | None:
    """When the score first falls below `theta`, if nothing more happens.

    Args:
        theta: A score greater than 0.

    Returns:
        A time after `now`, to the second, rounded up; None when the score is below `theta` already, or never falls below it.
    """
    start_s = max((now - as_of).total_seconds(), 0.0)

    def below(age_s: float) -> bool:
        return max(math.fsum(_value(part, age_s) for part in parts), 0.0) < theta

    if theta <= 0 or not parts or below(start_s):
        return None
    slowest = max(part.half_life_s for part in parts)
    # Every half-life halves what is left at most, so that a sum of P points is below theta after log2(P / theta) of them.
    most = math.fsum(abs(part.points) for part in parts)
    end_s = start_s + slowest * (math.log2(max(most / theta, 2.0)) + 1)
    low, high = start_s, end_s
    if any(part.points < 0 for part in parts):
        # Not a curve that only falls: walk until it is below, then look inside the last step.
        step = (end_s - start_s) / _STEPS
        high = next((at for at in (start_s + step * n for n in range(1, _STEPS)) if below(at)), end_s)
        low = high - step
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if below(middle) else (middle, high)
    return as_of + timedelta(seconds=math.ceil(high))


def _left(age_s: float, half_life_s: float) -> float:
    return float(2.0 ** (-age_s / half_life_s))


def _value(part: CurvePart, age_s: float) -> float:
    """Points of a part after `age_s` seconds, saturated."""
    points = part.points * _left(age_s, part.half_life_s)
    if part.cap <= 0:
        return points
    return math.copysign(part.cap * -math.expm1(-abs(points) / part.cap), points)
