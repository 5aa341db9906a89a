"""When does a rep work? Weekly hours in the rep's own time zone, absences, public holidays, clock changes.

An instant is working time when the local wall clock then stands inside the day's hours, the day is no public holiday and no
absence covers the instant. So an hour that the clock shows twice counts twice, and an hour that it skips does not count.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal, NamedTuple

import holidays
import msgspec

from services.directory.core.hours import Hours, parse_hours, zone
from services.directory.core.people import ALWAYS, Absence, Rep

Code = Literal["available", "unknown", "inactive", "absent", "holiday", "outside_hours"]
SEARCH_DAYS = 730  # nobody is away longer and comes back
DAY = timedelta(days=1)


class Availability(NamedTuple):
    """May a rep get something now, and if not, why.

    Attributes:
        text: The reason in words, with the rep's local time.
        until: When the answer changes; None when it never does (within two years).
    """

    ok: bool
    code: Code
    text: str
    until: datetime | None


class WorkCalendar(msgspec.Struct, frozen=True):
    """What decides a rep's working time. `holiday_country` None: public holidays do not count."""

    timezone: str = "UTC"
    hours: Hours = Hours(always=True)
    absences: tuple[Absence, ...] = ()
    holiday_country: str | None = None

    @classmethod
    def of(cls, rep: Rep) -> "WorkCalendar":
        """The rep's calendar.

        Raises:
            ValueError: For hours or a time zone that import and API would have refused.
        """
        zone(rep.timezone)
        if rep.country is not None and not knows_holidays(rep.country):
            msg = f"the public holidays of {rep.country} are not known; write a country such as FI, or leave it out"
            raise ValueError(msg)
        hours = Hours(always=True) if rep.hours == ALWAYS else parse_hours(rep.hours)
        return cls(rep.timezone, hours, tuple(sorted(rep.absences, key=lambda one: one.start)), rep.country)


def availability(rep: Rep, calendar: WorkCalendar, now: datetime) -> Availability:
    """May this rep get something at `now` (aware)?"""
    who = rep.name or rep.id
    if not rep.active:
        return Availability(False, "inactive", f"{who} has left", None)
    absence = next((one for one in calendar.absences if one.start <= now < one.end), None)
    working, until = _state(calendar, now)
    if working:
        return Availability(True, "available", f"{who} is at work", until)
    back = "" if until is None else f"; back {_local(until, calendar, now)}"
    if absence is not None:
        return Availability(
            False, "absent", f"{who} is absent{f' ({absence.note})' if absence.note else ''}{back}", until
        )
    local = now.astimezone(zone(calendar.timezone))
    name = holiday(calendar.holiday_country, local.date())
    if name is not None and not calendar.hours.always:
        return Availability(False, "holiday", f"{who} has a public holiday ({name}){back}", until)
    return Availability(
        False, "outside_hours", f"{who} is off work: {local:%a %H:%M} in {calendar.timezone}{back}", until
    )


def is_working(calendar: WorkCalendar, now: datetime) -> bool:
    """True when `now` is working time. The definition itself, in wall-clock terms; tests hold the rest to it."""
    if any(one.start <= now < one.end for one in calendar.absences):
        return False
    if calendar.hours.always:
        return True
    local = now.astimezone(zone(calendar.timezone))
    if holiday(calendar.holiday_country, local.date()) is not None:
        return False
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in calendar.hours.week[local.weekday()])


def working_minutes(calendar: WorkCalendar, start: datetime, end: datetime) -> float:
    """Minutes of working time in [start, end); 0 when `end` is not after `start`.

    Costs one step per local day between the two (2 years: a millisecond or two).
    """
    if end <= start:
        return 0.0
    return sum((until - since).total_seconds() for since, until in _spans(calendar, start, end)) / 60


def after_working_minutes(calendar: WorkCalendar, start: datetime, minutes: float) -> datetime | None:
    """The first instant at which `minutes` (0 or more) of working time have passed since `start`.

    Returns:
        `start` itself for 0 minutes, in working time or not; None when it never comes within two years.
    """
    if minutes <= 0:
        return start
    left = timedelta(minutes=minutes)
    for since, until in _spans(calendar, start, start + SEARCH_DAYS * DAY):
        if until - since >= left:
            return since + left
        left -= until - since
    return None


def start_of_working_day(calendar: WorkCalendar, start: datetime, days: int) -> datetime | None:
    """When work begins on the `days`-th working day (1 or more) after the local day of `start`.

    A day on which no minute is worked is no working day: weekends, public holidays, absences. For one who always works,
    days are counted from `start` itself.

    Returns:
        None when that day never comes within two years.
    """
    reach = start + SEARCH_DAYS * DAY
    if calendar.hours.always:
        return next((since for since, _ in _spans(calendar, start + days * DAY, reach)), None)
    there = zone(calendar.timezone)
    day, left = start.astimezone(there).date(), days
    for since, _ in _spans(calendar, start, reach):
        local = since.astimezone(there).date()
        if local > day:
            day, left = local, left - 1
            if left == 0:
                return since
    return None


@lru_cache(maxsize=1024)
def _holidays(country: str, year: int) -> dict[date, str]:
    code, _, region = country.partition("-")
    found = holidays.country_holidays(code, subdiv=region or None, years=year)
    return dict(found.items())


def holiday(country: str | None, day: date) -> str | None:
    """The public holiday of that day in the country or region (`FI`, `DE-BY`), else None."""
    return None if country is None else _holidays(country, day.year).get(day)


@lru_cache(maxsize=1024)
def knows_holidays(country: str) -> bool:
    """True when the holidays of this country or region are known."""
    code, _, region = country.partition("-")
    regions = holidays.list_supported_countries().get(code)
    return regions is not None and (not region or region in regions)


def _local(instant: datetime, calendar: WorkCalendar, now: datetime) -> str:
    there = zone(calendar.timezone)
    local = instant.astimezone(there)
    return f"{local:%a %H:%M}" if local - now.astimezone(there) < 6 * DAY else f"{local:%a %Y-%m-%d %H:%M}"


def _state(calendar: WorkCalendar, now: datetime) -> tuple[bool, datetime | None]:
    """Whether `now` is working time, and when that changes."""
    reach = now + SEARCH_DAYS * DAY
    since, until = next(_joined(_spans(calendar, now, reach)), (None, None))
    if since is None or until is None:
        return False, None
    if since > now:
        return False, since
    return True, until if until < reach else None


def _joined(spans: Iterator[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Spans that touch, as one: midnight inside a shift is no change."""
    open_since: datetime | None = None
    open_until: datetime | None = None
    for since, until in spans:
        if open_since is not None and open_until is not None and since <= open_until:
            open_until = max(open_until, until)
            continue
        if open_since is not None and open_until is not None:
            yield open_since, open_until
        open_since, open_until = since, until
    if open_since is not None and open_until is not None:
        yield open_since, open_until


def _spans(calendar: WorkCalendar, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Working time inside [start, end) as disjoint spans in UTC, in order."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    for since, until in _open(calendar, start, end):
        yield from _without(calendar.absences, max(since, start), min(until, end))


def _open(calendar: WorkCalendar, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    if calendar.hours.always:
        yield start, end
        return
    there = zone(calendar.timezone)
    # A day earlier and later: local dates at either end of a clock change.
    day, last = start.astimezone(there).date() - DAY, end.astimezone(there).date() + DAY
    while day <= last:
        hours = calendar.hours.week[day.weekday()]
        if hours and holiday(calendar.holiday_country, day) is None:
            for since, until in _of_day(calendar.timezone, day, hours):
                if since < end and until > start:
                    yield since, until
        day += DAY


@lru_cache(maxsize=8192)
def _of_day(timezone: str, day: date, hours: tuple[tuple[int, int], ...]) -> tuple[tuple[datetime, datetime], ...]:
    """A local day's hours as instants: for each UTC offset in force around the day, the part in which it is in force."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    found: list[tuple[datetime, datetime]] = []
    for since, until, offset in _offsets(timezone, midnight - DAY, midnight + 2 * DAY):
        for first, last in hours:
            begin = max(since, midnight + timedelta(minutes=first) - offset)
            finish = min(until, midnight + timedelta(minutes=last) - offset)
            if begin < finish:
                found.append((begin, finish))
    return tuple(sorted(found))


def _offsets(timezone: str, start: datetime, end: datetime) -> list[tuple[datetime, datetime, timedelta]]:
    """The UTC offsets in force between two instants at most three days apart (so at most one change)."""
    before, after = _offset(timezone, start), _offset(timezone, end)
    if before == after:
        return [(start, end, before)]
    low, high = start, end
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        low, high = (middle, high) if _offset(timezone, middle) == before else (low, middle)
    return [(start, high, before), (high, end, after)]


def _offset(timezone: str, instant: datetime) -> timedelta:
    return instant.astimezone(zone(timezone)).utcoffset() or timedelta()


def _without(absences: Sequence[Absence], since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """[since, until) less the absences, which are sorted by start."""
    for absence in absences:
        if absence.end <= since or absence.start >= until:
            continue
        if absence.start > since:
            yield since, absence.start
        since = max(since, absence.end)
        if since >= until:
            return
    yield since, until
