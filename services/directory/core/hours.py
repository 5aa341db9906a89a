"""How do people write working hours? `always`, `mon-fri 09:00-17:00`, `mon-thu 8-16, fri 8-12 13-15`."""

import re
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIDNIGHT = 24 * 60
HOURS_MAX = 500  # characters

Day = tuple[tuple[int, int], ...]

_DAY: Final[dict[str, int]] = {
    name: index
    for index, names in enumerate(
        (
            ("mon", "monday", "ma", "maanantai", "mån", "måndag"),
            ("tue", "tuesday", "ti", "tiistai", "tis", "tisdag"),
            ("wed", "wednesday", "ke", "keskiviikko", "ons", "onsdag"),
            ("thu", "thursday", "to", "torstai", "tor", "torsdag"),
            ("fri", "friday", "pe", "perjantai", "fre", "fredag"),
            ("sat", "saturday", "la", "lauantai", "lör", "lördag"),
            ("sun", "sunday", "su", "sunnuntai", "sön", "söndag"),
        )
    )
    for name in names
}
_TIMES: Final = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*-\s*(\d{1,2})(?:[:.](\d{2}))?")
_PART: Final = re.compile(r"(?P<days>[a-zåäö]+(?:\s*-\s*[a-zåäö]+)?)\s+(?P<times>[\d:.\s-]+)")


class Hours(msgspec.Struct, frozen=True):
    """Weekly hours: for each weekday, Monday first, spans of minutes from local midnight, sorted and disjoint."""

    week: tuple[Day, ...] = ((),) * 7
    always: bool = False


@lru_cache(maxsize=1024)
def parse_hours(text: str) -> Hours:
    """Read weekly hours.

    Args:
        text: `always`, or parts joined by commas or semicolons: days, a blank, one or more spans. A span that ends before it
            starts runs past midnight. At most 500 characters.

    Raises:
        ValueError: With words that say what was not understood and how to write it.
    """
    told = text.strip().lower().replace("–", "-").replace("—", "-")
    if told == "always":
        return Hours((((0, MIDNIGHT),),) * 7, always=True)
    if not told or len(told) > HOURS_MAX:
        msg = "hours are empty or longer than 500 characters; write always, or mon-fri 09:00-17:00"
        raise ValueError(msg)
    week: list[list[tuple[int, int]]] = [[] for _ in DAYS]
    for part in re.split(r"[,;]", told):
        found = _PART.fullmatch(part.strip())
        if found is None:
            msg = f"hours {part.strip()!r} are not understood; write days and times, such as mon-fri 09:00-17:00"
            raise ValueError(msg)
        spans = _spans(found["times"])
        for day in _days(found["days"]):
            for start, end in spans:
                week[day].append((start, min(end, MIDNIGHT)))
                if end > MIDNIGHT:
                    week[(day + 1) % 7].append((0, end - MIDNIGHT))
    return Hours(tuple(_merged(day) for day in week))


def _days(text: str) -> list[int]:
    if text == "daily":
        return list(range(7))
    ends = [name.strip() for name in text.split("-")]
    unknown = next((name for name in ends if name not in _DAY), None)
    if unknown is not None:
        msg = f"{unknown!r} is no day of the week; write one of {', '.join(DAYS)}, or daily"
        raise ValueError(msg)
    first, last = _DAY[ends[0]], _DAY[ends[-1]]
    return [(first + step) % 7 for step in range((last - first) % 7 + 1)]


def _spans(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    rest = _TIMES.sub(" ", text).strip()
    if rest or not _TIMES.search(text):
        msg = (
            f"times {text.strip()!r} are not understood; write them as 09:00-17:00, two spans with a blank between them"
        )
        raise ValueError(msg)
    for start_h, start_m, end_h, end_m in _TIMES.findall(text):
        start, end = int(start_h) * 60 + int(start_m or 0), int(end_h) * 60 + int(end_m or 0)
        if int(start_m or 0) > 59 or int(end_m or 0) > 59 or start >= MIDNIGHT or end > MIDNIGHT or start == end:
            msg = f"times {text.strip()!r} are no span of a day; write them between 00:00 and 24:00, start and end not the same"
            raise ValueError(msg)
        found.append((start, end if end > start else end + MIDNIGHT))
    return found


def _merged(spans: list[tuple[int, int]]) -> Day:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


@lru_cache(maxsize=600)
def zone(name: str) -> ZoneInfo:
    """The time zone.

    Raises:
        ValueError: When there is no such zone, with words for people.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, IsADirectoryError) as error:
        msg = f"{name!r} is no time zone; write an IANA name such as Europe/Helsinki"
        raise ValueError(msg) from error
