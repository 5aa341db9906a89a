"""Who is there? Accounts, reps and pools as every stage sees them: frozen, comparable, ready for a decision record."""

from datetime import datetime

import msgspec

ALWAYS = "always"


class Account(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A company we know.

    Attributes:
        domain: Registrable domain, lower case, IDNA; the key.
        employees: Head count, 0 or more; None is unknown.
        country: ISO 3166 code of two letters, upper case.
        named: Its owner is told of every move.
        owner: Id of the rep it belongs to.
        networks: Its own address ranges in CIDR notation.
    """

    domain: str
    name: str = ""
    industry: str | None = None
    employees: int | None = None
    country: str | None = None
    named: bool = False
    owner: str | None = None
    networks: tuple[str, ...] = ()


class Absence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A time in which a rep gets nothing. `start` <= t < `end`, both aware UTC."""

    start: datetime
    end: datetime
    note: str = ""
    id: str = ""


class Rep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sales person.

    Attributes:
        timezone: IANA name; hours and whole-day absences are read in it.
        hours: `always` or weekly hours such as `mon-fri 09:00-17:00` (core/calendar.py).
        country: Whose public holidays count (`FI`, `DE-BY`); None: none. Holidays never count for `always`.
        languages: ISO 639 codes, lower case.
        capacity_per_day: Most handovers a day; None is no limit.
        capacity_open: Most open handovers at once; None is no limit.
        manager: Rep id of the one who hears of a breach.
        active: False once the person has left: offered nothing, told nothing.
        alerts_paused_until: No alerts before this instant; handovers still come.
    """

    id: str
    name: str = ""
    title: str = ""
    email: str | None = None
    timezone: str = "UTC"
    hours: str = ALWAYS
    country: str | None = None
    absences: tuple[Absence, ...] = ()
    languages: tuple[str, ...] = ()
    capacity_per_day: int | None = None
    capacity_open: int | None = None
    manager: str | None = None
    meeting_link: str | None = None
    active: bool = True
    alerts_paused_until: datetime | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A rep's share in a pool. `weight` 1 to 100: leads are given in proportion."""

    rep: str
    weight: int = 1


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A team that shares leads. Members stand in the order they were written; ids are unique."""

    name: str
    members: tuple[Member, ...] = ()

    @property
    def weights(self) -> dict[str, int]:
        """Rep id to weight, in member order."""
        return {member.rep: member.weight for member in self.members}
