"""When did it happen? Lenient dates, the client's clock corrected, and absurd times refused."""

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

import msgspec

from services.ingest.core.limits import BadItem

# A clock that runs ahead by less is an ordinary wrong time zone or drift: the time is kept, and clamped for scoring.
AHEAD_MAX: Final = timedelta(hours=24)
# No marketing tool has events older than this; 1970 means "no clock" and 1900 a spreadsheet.
OLDEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
# Characters of a written time.
TIME_MAX: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Epoch numbers tell their unit by size: seconds until the year 5138, then milliseconds, then microseconds.
_MS_FROM: Final = 1e11
_US_FROM: Final = 1e14
_NS_FROM: Final = 1e17

_LENIENT = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})"
    r"(?:[T\s]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)?",
    re.IGNORECASE,
)


class EventTime(msgspec.Struct, frozen=True, gc=False):
    """`own` is the dedupe key's time; `occurred_at` is corrected and never after the receipt."""

    own: datetime
    occurred_at: datetime
    untimed: bool


def parse_time(value: object) -> datetime:
    """The time that a client meant, aware, UTC.

    Reads ISO 8601 also with single digits (`2015-2-02T00:30:08.276Z`) or without zone (UTC), RFC 2822, and epoch
    seconds, milliseconds or microseconds as number or text.

    Raises:
        BadItem: `bad_time`.
    """
    try:
        if isinstance(value, str):
            if value[4:5] == "-" and len(value) <= TIME_MAX:  # nearly every client writes ISO 8601
                try:
                    made = datetime.fromisoformat(value)
                    return made if made.tzinfo is UTC else _utc(made)
                except ValueError:
                    pass
            return _from_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _from_epoch(value)
        if isinstance(value, datetime):
            return _utc(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        pass
    shown = repr(value)[:60]
    raise BadItem("bad_time", f"{shown} is no time; write it as 2026-01-31T08:15:00Z")


def _from_text(text: str) -> datetime:
    if len(text) > TIME_MAX:
        raise ValueError(text[:TIME_MAX])
    text = text.strip()
    number = text[1:] if text[:1] == "-" else text
    if len(number) >= 9 and number.replace(".", "", 1).isdigit():
        return _from_epoch(float(text))
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError:
        pass
    found = _LENIENT.fullmatch(text)
    if found is None:
        return _utc(parsedate_to_datetime(text))
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    made = datetime(
        int(year),
        int(month),
        int(day),
        int(hour or 0),
        int(minute or 0),
        min(int(second or 0), 59),  # a leap second
        int((fraction or "0").ljust(6, "0")[:6]),
        tzinfo=_zone(zone),
    )
    return _utc(made)


def _zone(text: str | None) -> timezone:
    if text is None or text[:1] not in "+-":
        return UTC
    digits = text[1:].replace(":", "")
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    away = timedelta(hours=hours, minutes=minutes)
    return timezone(-away if text[0] == "-" else away)


def _from_epoch(number: float) -> datetime:
    size = abs(number)
    if size >= _NS_FROM:
        number /= 1e9
    elif size >= _US_FROM:
        number /= 1e6
    elif size >= _MS_FROM:
        number /= 1e3
    return _EPOCH + timedelta(seconds=number)


def _utc(at: datetime) -> datetime:
    zone = at.tzinfo
    return at.replace(tzinfo=UTC) if zone is None else at.astimezone(UTC)


def _absurd(at: datetime, received_at: datetime) -> bool:
    return at < OLDEST or (at > received_at and at - received_at > AHEAD_MAX)


def event_time(value: object, sent_at: object, received_at: datetime) -> EventTime:
    """An event's own time and when it really happened.

    The correction is Segment's: `timestamp + (received - sentAt)`, both from the client's clock. No time at all means
    now, marked `untimed`. A time before 2000 or more than a day ahead is absurd: when the correction makes sense of it
    (the client's whole clock is wrong) the event counts as untimed at the corrected time, else it is refused. It is not
    clamped to now: an event of unknown age must never look fresh.

    Raises:
        BadItem: `bad_time` or `absurd_time`.
    """
    if value is None or value == "":
        return EventTime(received_at, received_at, untimed=True)
    own = parse_time(value)
    if sent_at is None and OLDEST <= own <= received_at:
        return EventTime(own, own, untimed=False)  # the usual case
    corrected = own
    if sent_at is not None:
        sent = _lenient(sent_at)
        if sent is not None:
            try:
                corrected = own + (received_at - sent)
            except OverflowError:
                corrected = own
    if _absurd(own, received_at):
        if corrected is own or _absurd(corrected, received_at):
            raise BadItem("absurd_time", f"{own.isoformat()} cannot be the time of an event received now")
        return EventTime(received_at, min(corrected, received_at), untimed=True)
    if corrected is not own and corrected < OLDEST:
        corrected = own  # a sentAt from the future would push a good time into nowhere
    return EventTime(own, min(corrected, received_at), untimed=False)


def _lenient(value: object) -> datetime | None:
    """The time, or None: a bad `sentAt` costs the correction, never the event."""
    return _batch_time(value) if isinstance(value, str) else _try(value)


@lru_cache(maxsize=256)
def _batch_time(value: str) -> datetime | None:
    """As `_try`, remembered: every event of a batch has the same `sentAt`."""
    return _try(value)


def _try(value: object) -> datetime | None:
    try:
        return parse_time(value)
    except BadItem:
        return None
