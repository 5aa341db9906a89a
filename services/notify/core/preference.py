"""What does a rep want to hear, where and when? Channels by kind of notice, quiet hours, pause, ladder, budget.

Preferences are layers: what the product ships, what the company sets for everybody, what is set for the rep.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from services.directory.core.calendar import WorkCalendar, availability, is_working
from services.directory.core.hours import MIDNIGHT, parse_hours, zone
from services.directory.core.people import Rep
from services.notify.core.delivery import INBOX, KINDS

STEPS_MAX: Final = 10
STEP_MAX_MIN: Final = 7 * 24 * 60
CHANNELS_MAX: Final = 20
PER_HOUR_MAX: Final = 60
TO_PEOPLE: Final = ("delegate", "manager")
# "Until further notice" is written as any year up to 9999, beyond which no time can be reckoned.
PAUSE_MAX: Final = timedelta(days=3650)


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of the ladder: `after_min` minutes without a reaction it goes `to` an endpoint, `delegate` or `manager`."""

    after_min: int
    to: str


class Preferences(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One layer; None leaves a matter to the layer below.

    Attributes:
        channels: Kind of notice to the ids of endpoints; the inbox always has everything. A kind that is not named
            here goes where the endpoints say.
        quiet_hours: Weekly hours in which nothing interrupts, in the rep's time zone: `daily 20:00-07:00`; empty: none.
        paused_until: Nothing interrupts before this.
        interrupts_per_hour: Alerts in an hour; the rest waits for a digest.
        ladder: Steps for an offer that nobody reacts to, by time.
        delegate: Rep id of who steps in.
    """

    channels: dict[str, list[str]] | None = None
    quiet_hours: str | None = None
    paused_until: datetime | None = None
    interrupts_per_hour: int | None = None
    ladder: list[Step] | None = None
    delegate: str | None = None


def problem_of(asked: Preferences, endpoints: Mapping[str, str], reps: frozenset[str]) -> str | None:
    """What is wrong with a layer, in words; None when it is sound.

    Args:
        endpoints: Ids of endpoints to their names.
        reps: Known rep ids.
    """
    for kind, ids in (asked.channels or {}).items():
        if kind not in KINDS:
            return f"channels: {kind[:40]!r} is no kind of notice; one of {', '.join(KINDS)}"
        if len(ids) > CHANNELS_MAX:
            return f"channels: at most {CHANNELS_MAX} for {kind}"
        unknown = next((one for one in ids if one not in endpoints and one != INBOX), None)
        if unknown is not None:
            return f"channels: there is no channel {unknown[:64]!r}; see GET /v1/channels"
    if asked.quiet_hours:
        try:
            hours = parse_hours(asked.quiet_hours)
        except ValueError as error:
            return f"quiet_hours: {error}"
        if all(day == ((0, MIDNIGHT),) for day in hours.week):
            return "quiet_hours: all hours of all days have no end to wait for; pause instead (paused_until)"
    if asked.paused_until is not None and asked.paused_until.tzinfo is None:
        return "paused_until: write the time with its zone, such as 2026-01-31T12:00:00Z"
    if asked.interrupts_per_hour is not None and not 1 <= asked.interrupts_per_hour <= PER_HOUR_MAX:
        return f"interrupts_per_hour: a number from 1 to {PER_HOUR_MAX}"
    if asked.delegate is not None and asked.delegate not in reps:
        return f"delegate: there is no rep {asked.delegate[:64]!r}"
    return _ladder_problem(asked.ladder or [], endpoints)


def _ladder_problem(ladder: list[Step], endpoints: Mapping[str, str]) -> str | None:
    if len(ladder) > STEPS_MAX:
        return f"ladder: at most {STEPS_MAX} steps"
    before = 0
    for step in ladder:
        if not before < step.after_min <= STEP_MAX_MIN:
            return f"ladder: after_min rises from step to step, from 1 to {STEP_MAX_MIN}"
        before = step.after_min
        if step.to not in endpoints and step.to not in TO_PEOPLE:
            return f"ladder: {step.to[:64]!r} is no channel, and neither delegate nor manager"
    return None


def layered(*layers: Preferences) -> Preferences:
    """The layers as one; later ones win, matter by matter, and channels kind by kind."""
    found = Preferences()
    for layer in layers:
        said = {name: value for name in layer.__struct_fields__ if (value := getattr(layer, name)) is not None}
        if layer.channels is not None:
            said["channels"] = {**(found.channels or {}), **layer.channels}
        found = msgspec.structs.replace(found, **said)
    return found


@lru_cache(maxsize=2048)
def _quiet(text: str, timezone: str) -> WorkCalendar:
    zone(timezone)
    return WorkCalendar(timezone, parse_hours(text))


def quiet_until(prefs: Preferences, rep: Rep | None, now: datetime) -> datetime | None:
    """Until when nothing may interrupt the rep; None when it may now.

    Hours or a time zone that cannot be read keep nothing back: better a message at night than none.
    """
    until = now
    if prefs.paused_until is not None and prefs.paused_until > until:
        until = min(prefs.paused_until, now + PAUSE_MAX)
    if prefs.quiet_hours:
        who = rep or Rep(id="")
        try:
            calendar = _quiet(prefs.quiet_hours, who.timezone)
        except ValueError:
            return until if until > now else None
        if is_working(calendar, until):
            end = availability(Rep(id=who.id), calendar, until).until
            until = end if end is not None else until
    return until if until > now else None
