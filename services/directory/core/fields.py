"""Which values may a field of the directory hold? One rule for CSV, YAML and API; each refusal says how to mend it."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeVar
from urllib.parse import urlsplit

from services.directory.core.calendar import knows_holidays
from services.directory.core.domains import email_domain, is_disposable, is_freemail, registrable
from services.directory.core.hours import parse_hours, zone
from services.directory.core.people import ALWAYS, Absence, Rep
from services.directory.core.traits import EMPLOYEES_MAX, country_code, employees

T = TypeVar("T")

NAME_MAX = 200
WORD_MAX = 80
NETWORKS_MAX = 256  # of one account
ABSENCE_MAX = timedelta(days=730)
LINK_MAX = 500
CAPACITY_MAX = 1000
WEIGHT_MAX = 100

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
_SEPARATORS: Final = re.compile(r"[\s;,|]+")
_YES: Final = frozenset({"yes", "y", "true", "t", "1", "x", "kyllä", "kylla", "k", "ja", "j", "on"})
_NO: Final = frozenset({"no", "n", "false", "f", "0", "-", "ei", "e", "nej", "off"})
# Wider than this is no company's own network; the widest ever given out whole were /8 and /19.
_WIDEST: Final = {4: 8, 6: 19}
_NOT_PUBLIC: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
        "::/127", "::ffff:0:0/96", "fc00::/7", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip


class FieldError(ValueError):
    """A value that a field cannot hold. `hint` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}; {hint}")
        self.message = message
        self.hint = hint


def account_domain(text: str) -> str:
    """The registrable domain of a company."""
    name = registrable(text)
    if name is None:
        msg = f"{text[:80]!r} is no domain that a company can own"
        raise FieldError(msg, "write it like nordwind.example")
    if is_freemail(name) or is_disposable(name):
        msg = f"{name} is a mail provider: everybody there would belong to this account"
        raise FieldError(msg, "write the company's own domain")
    return name


def identifier(text: str) -> str:
    """The id of a rep or pool, lower case."""
    found = text.strip().lower()
    if _ID.fullmatch(found) is None:
        msg = f"{text[:80]!r} is no id"
        raise FieldError(msg, "use 1 to 64 of a-z, 0-9, dot, dash and underscore")
    return found


def line(text: str, longest: int = NAME_MAX) -> str:
    """One line of text without control characters."""
    found = text.strip()
    if len(found) > longest:
        msg = f"is {len(found)} characters long"
        raise FieldError(msg, f"use at most {longest}")
    if _CONTROL.search(found):
        msg = "holds a line break or a control character"
        raise FieldError(msg, "write it on one line")
    return found


def word(text: str) -> str | None:
    """A short key such as an industry: lower case; empty is None."""
    return line(text, WORD_MAX).lower() or None


def head_count(text: str) -> int | None:
    """A number of employees as people write it; empty is None."""
    if not text.strip():
        return None
    found = employees(text)
    if found is None:
        msg = f"{text[:40]!r} is no number of employees"
        raise FieldError(msg, f"write a whole number from 0 to {EMPLOYEES_MAX}, such as 2400")
    return found


def country(text: str) -> str | None:
    """A country code of two letters, or a country's name that we know; empty is None."""
    if not text.strip():
        return None
    found = country_code(text)
    if found is None:
        msg = f"{text[:40]!r} is no country code"
        raise FieldError(msg, "write two letters such as FI, SE or DE")
    return found


def yes_or_no(text: str) -> bool:
    """A flag in English, Finnish or Swedish; empty is no."""
    found = text.strip().lower()
    if found in _YES:
        return True
    if not found or found in _NO:
        return False
    msg = f"{text[:40]!r} is neither yes nor no"
    raise FieldError(msg, "write yes or no")


def networks(text: str) -> tuple[str, ...]:
    """Address ranges, parted by blanks, commas or semicolons, in their shortest form and in order."""
    parts = [part for part in _SEPARATORS.split(text) if part]
    if len(parts) > NETWORKS_MAX:
        msg = f"holds {len(parts)} networks"
        raise FieldError(msg, f"use at most {NETWORKS_MAX}, wider ones where they touch")
    found = {_network(part) for part in parts}
    return tuple(
        str(one) for one in sorted(found, key=lambda one: (one.version, int(one.network_address), one.prefixlen))
    )


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        found = ip_network(text, strict=False)
    except ValueError as error:
        msg = f"{text[:60]!r} is no network"
        raise FieldError(msg, "write it like 198.51.100.0/24 or 2001:db8::/32") from error
    if found.prefixlen < _WIDEST[found.version]:
        msg = f"{found} is wider than any company's network"
        raise FieldError(msg, f"write /{_WIDEST[found.version]} or longer")
    if any(found.version == other.version and found.overlaps(other) for other in _NOT_PUBLIC):
        msg = f"{found} is no public network: visitors from anywhere could seem to come from it"
        raise FieldError(msg, "write the addresses that the internet sees")
    return found


def email(text: str) -> str | None:
    """An e-mail address in lower case; empty is None."""
    found = text.strip().lower()
    if not found:
        return None
    if email_domain(found) is None:
        msg = f"{text[:80]!r} is no e-mail address"
        raise FieldError(msg, "write it like anna@seller.example")
    return found


def timezone(text: str) -> str:
    """An IANA time zone."""
    return _mended(lambda: str(zone(text.strip())))


def hours(text: str) -> str:
    """Weekly hours, or `always`."""
    found = " ".join(text.split())
    if found.lower() == ALWAYS:
        return ALWAYS
    _mended(lambda: parse_hours(found))
    return found


def holiday_country(text: str) -> str | None:
    """A country, or region, whose public holidays are known; empty is None."""
    found = text.strip().upper() or None
    if found is not None and not knows_holidays(found):
        msg = f"the public holidays of {text[:20]!r} are not known"
        raise FieldError(msg, "write a country such as FI, or a region such as DE-BY, or leave it out")
    return found


def language(text: str) -> str:
    """A language code of two or three letters, lower case."""
    found = text.strip().lower()
    if _LANGUAGE.fullmatch(found) is None:
        msg = f"{text[:20]!r} is no language code"
        raise FieldError(msg, "write fi, sv, en …")
    return found


def capacity(text: str) -> int | None:
    """A limit of handovers, 0 to 1000; empty is no limit."""
    return None if not text.strip() else whole(text, 0, CAPACITY_MAX)


def whole(text: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    found = text.strip()
    if (
        len(found) > 12
        or not found.isascii()
        or not found.removeprefix("-").isdigit()
        or not least <= int(found) <= most
    ):
        msg = f"{text[:20]!r} is no whole number from {least} to {most}"
        raise FieldError(msg, f"write one, such as {max(least, 1)}")
    return int(found)


def link(text: str) -> str | None:
    """A web address; empty is None."""
    found = line(text, LINK_MAX)
    if not found:
        return None
    try:
        parts = urlsplit(found)
        right = parts.scheme in ("https", "http") and bool(parts.hostname)
    except ValueError:
        right = False
    if not right:
        msg = f"{text[:80]!r} is no web address"
        raise FieldError(msg, "write it like https://meet.example/anna")
    return found


def rep_id(text: str, reps: Mapping[str, Rep]) -> str | None:
    """The id of an active rep, from an id, an e-mail address or a full name; empty is None."""
    found = text.strip().lower()
    if not found:
        return None
    rep = reps.get(found) or next(
        (one for one in reps.values() if found in ((one.email or "").lower(), one.name.lower())), None
    )
    if rep is None:
        msg = f"there is no rep {text[:80]!r}"
        raise FieldError(msg, "add the person to the team first, or write one of its ids")
    if not rep.active:
        msg = f"{rep.id} has left"
        raise FieldError(msg, "choose somebody who is active")
    return rep.id


def absence(start: str, until: str, note: str, rep_zone: str) -> Absence:
    """An absence between two dates (the last one included) or instants, read in the rep's time zone."""
    since, end = _instant(start, rep_zone, last=False), _instant(until, rep_zone, last=True)
    if not since < end or end - since > ABSENCE_MAX:
        msg = f"an absence from {start[:40]} until {until[:40]} is empty or longer than two years"
        raise FieldError(msg, "write from before until; for one who has left write active: no")
    return Absence(start=since, end=end, note=line(note))


def _instant(text: str, rep_zone: str, *, last: bool) -> datetime:
    told = text.strip()
    try:
        if len(told) == 10:
            day = date.fromisoformat(told) + timedelta(days=int(last))
            return datetime(day.year, day.month, day.day, tzinfo=zone(rep_zone)).astimezone(UTC)
        found = datetime.fromisoformat(told)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone(rep_zone))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"{text[:40]!r} is no date"
        raise FieldError(msg, "write 2026-12-24, or 2026-12-24T12:00 in the rep's time") from error


def _mended(read: Callable[[], T]) -> T:
    try:
        return read()
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        raise FieldError(message, hint) from error
