"""When does a rep work? The fast answers are held to the plain definition, minute by minute, over clock changes."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.directory.core.calendar import (
    WorkCalendar,
    after_working_minutes,
    availability,
    holiday,
    is_working,
    knows_holidays,
    start_of_working_day,
    working_minutes,
)
from services.directory.core.hours import DAYS, Hours, parse_hours, zone
from services.directory.core.people import Absence, Rep

MINUTE = timedelta(minutes=1)
OFFICE = "mon-fri 09:00-17:00"
HELSINKI = ZoneInfo("Europe/Helsinki")


def calendar(
    hours: str = OFFICE, timezone: str = "Europe/Helsinki", country: str | None = None, *absences: Absence
) -> WorkCalendar:
    return WorkCalendar.of(Rep(id="anna", hours=hours, timezone=timezone, country=country, absences=absences))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=HELSINKI).astimezone(UTC)


# -- hours


@pytest.mark.parametrize(
    ("text", "week"),
    [
        ("mon-fri 09:00-17:00", [[(540, 1020)]] * 5 + [[], []]),
        ("Mon-Thu 8-16, fri 8-12 13-15", [[(480, 960)]] * 4 + [[(480, 720), (780, 900)], [], []]),
        ("fri-mon 10:00-11:00", [[(600, 660)], [], [], [], [(600, 660)], [(600, 660)], [(600, 660)]]),
        ("daily 00:00-24:00", [[(0, 1440)]] * 7),
        ("mon 22:00-06:00", [[(1320, 1440)], [(0, 360)], [], [], [], [], []]),
        ("sun 22:00-06:00", [[(0, 360)], [], [], [], [], [], [(1320, 1440)]]),
        ("mon 22:00-00:00", [[(1320, 1440)], [], [], [], [], [], []]),
        ("mon 9-12, mon 11-13; mon 13-14", [[(540, 840)], [], [], [], [], [], []]),
        ("ma-pe 8.30–16.30", [[(510, 990)]] * 5 + [[], []]),
        ("mån-fre 9-17", [[(540, 1020)]] * 5 + [[], []]),
    ],
)
def test_hours(text: str, week: list[list[tuple[int, int]]]) -> None:
    assert parse_hours(text) == Hours(tuple(tuple(day) for day in week))


@pytest.mark.parametrize(
    "text",
    ["", "   ", "x" * 501, "whenever", "mon", "09:00-17:00", "mon-fri", "mon-fri 9", "mon-xyz 9-17", "mon 9-9", "mon 25-26", "mon 9:60-10",
     "mon 9-17 x", "mon 09:00-17:00 18", "mon 24:00-25:00", "mon - 9-17"],
)  # fmt: skip
def test_hours_that_nobody_can_read_say_how_to_write_them(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_hours(text)


def test_always() -> None:
    assert parse_hours("ALWAYS").always
    assert WorkCalendar.of(Rep(id="anna")).hours.always


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc/passwd", "Europe", "/etc/localtime", "\x00"])
def test_zones_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="Europe/Helsinki"):
        zone(name)


def test_a_calendar_with_unknown_holidays_is_refused() -> None:
    with pytest.raises(ValueError, match="holidays of XX"):
        WorkCalendar.of(Rep(id="anna", country="XX"))
    assert knows_holidays("DE-BY")
    assert not knows_holidays("DE-XX")


# -- one week, by hand


def test_availability_says_why_and_until_when() -> None:
    anna = Rep(id="anna", name="Anna", hours=OFFICE, timezone="Europe/Helsinki", country="FI")
    office = WorkCalendar.of(anna)
    told = availability(anna, office, at("2026-11-27T12:00"))
    assert (told.ok, told.code, told.until) == (True, "available", at("2026-11-27T17:00"))
    told = availability(anna, office, at("2026-11-27T17:00"))
    assert (told.ok, told.code, told.until) == (False, "outside_hours", at("2026-11-30T09:00"))
    assert told.text == "Anna is off work: Fri 17:00 in Europe/Helsinki; back Mon 09:00"
    # Independence Day is a Sunday in 2026; Christmas Eve a Thursday, then two days and a weekend.
    told = availability(anna, office, at("2026-12-24T10:00"))
    assert (told.code, told.until) == ("holiday", at("2026-12-28T09:00"))
    assert "Christmas Eve" in told.text
    assert availability(Rep(id="ben", active=False), office, at("2026-11-27T12:00")) == (
        False,
        "inactive",
        "ben has left",
        None,
    )


def test_absences_end_in_working_time() -> None:
    away = Absence(start=at("2026-11-27T10:00"), end=at("2026-12-05T00:00"), note="skiing")
    anna = Rep(id="anna", hours=OFFICE, timezone="Europe/Helsinki", absences=(away,))
    told = availability(anna, WorkCalendar.of(anna), at("2026-11-27T12:00"))
    assert (told.ok, told.code, told.until) == (False, "absent", at("2026-12-07T09:00"))
    assert told.text == "anna is absent (skiing); back Mon 2026-12-07 09:00"
    before = availability(anna, WorkCalendar.of(anna), at("2026-11-27T09:30"))
    assert (before.ok, before.until) == (True, at("2026-11-27T10:00"))


def test_always_means_holidays_too_but_not_absences() -> None:
    away = Absence(start=at("2026-12-24T10:00"), end=at("2026-12-24T12:00"))
    anna = Rep(id="anna", country="FI", absences=(away,))
    whole = WorkCalendar.of(anna)
    assert availability(anna, whole, at("2026-12-25T03:00")) == (True, "available", "anna is at work", None)
    assert availability(anna, whole, at("2026-12-24T10:00")).code == "absent"
    assert availability(anna, whole, at("2026-12-24T10:00")).until == at("2026-12-24T12:00")


def test_one_who_never_works() -> None:
    nobody = Rep(id="anna", hours=OFFICE)
    told = availability(nobody, WorkCalendar(hours=Hours()), at("2026-12-24T10:00"))
    assert (told.code, told.until, told.text) == ("outside_hours", None, "anna is off work: Thu 08:00 in UTC")
    assert after_working_minutes(WorkCalendar(hours=Hours()), at("2026-12-24T10:00"), 1) is None


def test_a_shift_over_midnight_is_one() -> None:
    night = Rep(id="anna", hours="daily 00:00-24:00", timezone="Europe/Helsinki")
    told = availability(night, WorkCalendar.of(night), at("2026-11-27T12:00"))
    assert (told.ok, told.until) == (True, None)
    shift = Rep(id="anna", hours="mon-thu 22:00-06:00", timezone="Europe/Helsinki")
    assert availability(shift, WorkCalendar.of(shift), at("2026-11-23T23:00")).until == at("2026-11-24T06:00")


def test_sla_over_a_weekend_a_holiday_and_a_clock_change() -> None:
    office = calendar(country="FI")
    assert after_working_minutes(office, at("2026-11-27T16:50"), 15) == at("2026-11-30T09:05")
    assert after_working_minutes(office, at("2026-12-23T16:50"), 15) == at("2026-12-28T09:05")
    # Clocks go back on Sunday 2026-10-25; and forward on 2026-03-29.
    assert after_working_minutes(office, at("2026-10-23T16:00"), 120) == at("2026-10-26T10:00")
    assert working_minutes(office, at("2026-03-27T16:00"), at("2026-03-30T10:00")) == 120
    assert after_working_minutes(office, at("2026-11-28T10:00"), 0) == at("2026-11-28T10:00")
    assert working_minutes(office, at("2026-11-28T10:00"), at("2026-11-28T10:00")) == 0


def test_an_hour_shown_twice_counts_twice_and_a_skipped_one_never() -> None:
    night = calendar("sun 03:00-04:00")
    whole = working_minutes(night, at("2026-10-25T00:00"), at("2026-10-25T12:00"))
    assert whole == 120, "at 04:00 summer time the clock goes back to 03:00"
    assert working_minutes(night, at("2026-03-29T00:00"), at("2026-03-29T12:00")) == 0
    assert working_minutes(calendar("sun 02:30-04:30"), at("2026-03-29T00:00"), at("2026-03-29T12:00")) == 60


def test_holidays() -> None:
    assert holiday("FI", date(2026, 12, 6)) == "Independence Day"
    assert holiday("FI", date(2026, 12, 7)) is None
    assert holiday("DE-BY", date(2026, 1, 6)) is not None
    assert holiday("DE", date(2026, 1, 6)) is None
    assert holiday(None, date(2026, 12, 25)) is None


# -- laws

ZONES = [
    "UTC",
    "Europe/Helsinki",
    "Europe/Stockholm",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "America/St_Johns",
]
spans = st.tuples(st.integers(0, 47), st.integers(1, 48)).filter(lambda one: one[0] < one[1])


@st.composite
def calendars(draw: st.DrawFn) -> WorkCalendar:
    parts = []
    for day in DAYS:
        for start, end in draw(st.lists(spans, max_size=2)):
            parts.append(f"{day} {start // 2:02}:{start % 2 * 30:02}-{end // 2:02}:{end % 2 * 30:02}")
    hours = "always" if draw(st.integers(0, 5)) == 0 else ", ".join(parts) or "always"
    base = datetime(2026, draw(st.sampled_from([3, 4, 10, 11, 12])), draw(st.integers(1, 28)), tzinfo=UTC)
    away = []
    for _ in range(draw(st.integers(0, 2))):
        start = base + draw(st.integers(-48, 48)) * timedelta(minutes=30)
        away.append(Absence(start=start, end=start + draw(st.integers(1, 96)) * timedelta(minutes=30)))
    country = draw(st.sampled_from([None, "FI", "US"]))
    return calendar(hours, draw(st.sampled_from(ZONES)), country, *away)


# The weeks in which clocks change, in both halves of the earth.
instants = st.builds(
    lambda base, minutes: base + timedelta(minutes=minutes),
    st.sampled_from(
        [
            datetime(2026, 3, 27, tzinfo=UTC),
            datetime(2026, 3, 6, tzinfo=UTC),
            datetime(2026, 10, 23, tzinfo=UTC),
            datetime(2026, 10, 30, tzinfo=UTC),
            datetime(2026, 12, 23, tzinfo=UTC),
        ]
    ),
    st.integers(0, 4 * 24 * 60),
)


@given(calendars(), instants, st.integers(0, 1500))
@settings(max_examples=60, deadline=None)
@example(calendar("sun 03:00-04:00"), datetime(2026, 10, 24, 23, tzinfo=UTC), 300)
@example(calendar("always"), datetime(2026, 10, 24, 23, tzinfo=UTC), 300)
@example(
    calendar(
        "always",
        "UTC",
        None,
        Absence(start=datetime(2026, 10, 25, tzinfo=UTC), end=datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ),
    datetime(2026, 10, 24, 23, tzinfo=UTC),
    300,
)
@example(calendar("daily 00:00-24:00", "Europe/Helsinki", "FI"), datetime(2026, 12, 25, tzinfo=UTC), 300)
def test_working_minutes_are_the_minutes_that_are_working(one: WorkCalendar, start: datetime, length: int) -> None:
    counted = sum(is_working(one, start + index * MINUTE) for index in range(length))
    assert working_minutes(one, start, start + length * MINUTE) == counted


@given(calendars(), instants, st.integers(0, 5000), st.integers(0, 5000))
@settings(max_examples=60, deadline=None)
def test_working_minutes_add_up(one: WorkCalendar, start: datetime, first: int, second: int) -> None:
    middle, end = start + first * MINUTE, start + (first + second) * MINUTE
    whole = working_minutes(one, start, end)
    assert whole == working_minutes(one, start, middle) + working_minutes(one, middle, end)
    assert 0 <= whole <= first + second


@given(calendars(), instants, st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_after_is_the_inverse_of_between(one: WorkCalendar, start: datetime, minutes: int) -> None:
    end = after_working_minutes(one, start, minutes)
    if end is not None:
        assert working_minutes(one, start, end) == minutes
        # It is the first such instant: a moment before, something was left.
        assert working_minutes(one, start, end - timedelta(seconds=1)) < minutes


@given(calendars(), instants)
@settings(max_examples=60, deadline=None)
def test_an_availability_holds_until_it_says(one: WorkCalendar, now: datetime) -> None:
    rep = Rep(id="anna")
    told = availability(rep, one, now)
    assert told.ok == is_working(one, now)
    if told.until is not None:
        assert told.until > now
        assert availability(rep, one, told.until).ok != told.ok
        assert availability(rep, one, now + (told.until - now) / 2).ok == told.ok


def test_the_next_working_days_begin_when_work_does() -> None:
    office = calendar(country="FI")
    friday = at("2026-12-04T16:50")
    assert start_of_working_day(office, friday, 1) == at("2026-12-07T09:00")
    assert start_of_working_day(office, at("2026-12-04T03:00"), 1) == at("2026-12-07T09:00"), "not the same day's work"
    assert start_of_working_day(office, at("2026-12-23T10:00"), 1) == at("2026-12-28T09:00"), "Christmas is no work"
    away = (Absence(start=at("2026-12-07T00:00"), end=at("2026-12-08T12:00")),)
    assert start_of_working_day(msgspec.structs.replace(office, absences=away), friday, 1) == at("2026-12-08T12:00")
    assert start_of_working_day(WorkCalendar(hours=Hours()), friday, 1) is None
    always = WorkCalendar(absences=away)
    assert start_of_working_day(always, friday, 2) == friday + timedelta(days=2)
    assert start_of_working_day(always, friday, 3) == at("2026-12-08T12:00")
