"""A rep's week, absences and pauses as a page shows and asks them. Pure."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from services.console.filters import clock, day
from services.directory.core.calendar import Availability
from services.directory.core.hours import DAYS, MIDNIGHT, parse_hours
from services.directory.core.people import ALWAYS, Absence, Rep

KIND_NAMES: Final[Mapping[str, str]] = {
    "handover": "A lead is offered to you",
    "visiting_now": "Somebody is on the site now",
    "opened": "Somebody opened a mail",
    "clicked": "Somebody clicked a link",
    "you_missed": "What you missed",
    "due": "Reminders",
}
DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PAUSES: Final[tuple[tuple[str, str], ...]] = (
    ("1h", "For 1 hour"),
    ("tomorrow", "Until tomorrow 9:00"),
    ("monday", "Until Monday 9:00"),
)
START: Final = time(9)


class DayHours(msgspec.Struct, frozen=True):
    """One weekday. `text` is what the field holds: `09:00-12:00 13:00-17:00`; empty: off."""

    key: str
    name: str
    text: str


class Away(msgspec.Struct, frozen=True):
    """An absence in words."""

    id: str
    words: str
    note: str
    now: bool


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    always: bool
    days: list[DayHours]
    away: list[Away]
    paused: str | None
    working: bool
    state: str
    until: str | None


def week(rep: Rep, now: datetime, available: Availability) -> Week:
    """The availability of a rep as the page shows it at `now`."""
    hours = parse_hours(rep.hours)
    paused = rep.alerts_paused_until
    return Week(
        always=hours.always,
        days=[
            DayHours(key, name, "" if hours.always else " ".join(f"{_hm(a)}-{_hm(b)}" for a, b in spans))
            for key, name, spans in zip(DAYS, DAY_NAMES, hours.week, strict=True)
        ],
        away=[_away(one, rep.timezone, now) for one in sorted(rep.absences, key=lambda a: a.start) if one.end > now],
        paused=clock(paused, rep.timezone) if paused is not None and paused > now else None,
        working=available.ok,
        state=_state(available),
        until=clock(available.until, rep.timezone) if available.until is not None else None,
    )


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when a rep wants to be told. `kinds`: (kind, name, ids of its channels)."""

    quiet_hours: str
    per_hour: int | None
    delegate: str
    channels: list[tuple[str, str]]
    kinds: list[tuple[str, str, frozenset[str]]]
    own: bool


def reach(shown: Mapping[str, Any]) -> Reach:
    """The preferences of a rep, as notify tells them, for the page."""
    effective, there = shown["effective"], shown["channels"]
    asked = effective.get("channels") or {}

    def chosen(kind: str) -> frozenset[str]:
        return frozenset(asked[kind] if kind in asked else [one["id"] for one in there if kind in one["kinds"]])

    return Reach(
        quiet_hours=effective.get("quiet_hours") or "",
        per_hour=effective.get("interrupts_per_hour"),
        delegate=effective.get("delegate") or "",
        channels=[(one["id"], one["name"]) for one in there],
        kinds=[(kind, KIND_NAMES.get(kind, kind), chosen(kind)) for kind in shown["kinds"]],
        own=bool(shown["own"]),
    )


def preferences_of(fields: Mapping[str, str], shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a posted form asks for, over what was said before and the form does not hold."""
    if fields.get("reset"):
        return {}
    own = dict(shown["own"])
    own["quiet_hours"] = " ".join(fields.get("quiet_hours", "").split())
    number = fields.get("per_hour", "")
    own["interrupts_per_hour"] = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else None
    own["delegate"] = fields.get("delegate") or None
    if shown["channels"]:
        ids = [one["id"] for one in shown["channels"]]
        own["channels"] = {kind: [one for one in ids if fields.get(f"{kind}|{one}")] for kind in shown["kinds"]}
    return {name: value for name, value in own.items() if value is not None}


def hours_of(fields: Mapping[str, str]) -> str:
    """The weekly hours of a posted form, equal days drawn together; `always` when that is ticked."""
    if fields.get("always"):
        return ALWAYS
    texts = [" ".join(fields.get(key, "").replace(",", " ").replace("–", "-").split())[:60] for key in DAYS]
    parts: list[str] = []
    first = 0
    for at in range(1, len(DAYS) + 1):
        if at < len(DAYS) and texts[at] == texts[first]:
            continue
        if texts[first]:
            names = DAYS[first] if at - 1 == first else f"{DAYS[first]}-{DAYS[at - 1]}"
            parts.append(f"{names} {texts[first]}")
        first = at
    return ", ".join(parts)


def pause_until(choice: str, now: datetime, zone: str) -> datetime | None:
    """When a pause of alerts ends; None for a choice that there is not."""
    there = ZoneInfo(zone)
    today = now.astimezone(there).date()
    match choice:
        case "1h":
            return now + timedelta(hours=1)
        case "tomorrow":
            return datetime.combine(today + timedelta(days=1), START, there)
        case "monday":
            return datetime.combine(today + timedelta(days=7 - today.weekday()), START, there)
        case _:
            return None


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """Time zones that people live in."""
    areas = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    return tuple(
        sorted(
            name for name in available_timezones() if name == "UTC" or (name.partition("/")[0] in areas and "/" in name)
        )
    )


def _state(available: Availability) -> str:
    return {
        "available": "At work",
        "absent": "Absent",
        "holiday": "Public holiday",
        "outside_hours": "Off work",
        "inactive": "Left",
    }.get(available.code, "Unknown")


def _away(one: Absence, zone: str, now: datetime) -> Away:
    there = ZoneInfo(zone)
    start, end = one.start.astimezone(there), one.end.astimezone(there)
    whole = start.time() == time() and end.time() == time()
    if whole:
        last = end - timedelta(days=1)
        words = day(start, zone) if last.date() <= start.date() else f"{day(start, zone)} – {day(last, zone)}"
    else:
        words = f"{clock(start, zone)} – {clock(end, zone)}"
    return Away(one.id, words, one.note, one.start <= now < one.end)


def _hm(minutes: int) -> str:
    return "24:00" if minutes == MIDNIGHT else f"{minutes // 60:02}:{minutes % 60:02}"
