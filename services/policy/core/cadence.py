"""Cadences: who is worked with which contact steps, and when each is due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Start = Literal["accepted", "offered"]
Act = Literal["call", "mail", "message", "task"]

# So much working time has a rep for the first day's step before the inbox asks for it.
FIRST_DAY_HOURS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Step:
    """One contact step.

    Attributes:
        day: Working days of the rep after the start; 0 is the day of the start itself.
        hours: Working hours after the start (day 0), or after the day's first working minute.
        subject: None: that of the ready message; `say`: None: the ready message itself.
    """

    day: int
    do: Act
    hours: float
    subject: str | None
    say: str | None


@dataclass(frozen=True, slots=True)
class Cadence:
    """A chain of contact steps. No `segments`: every segment."""

    name: str
    segments: frozenset[str]
    start: Start
    steps: tuple[Step, ...]


def hours_of(day: int, after_hours: float | None) -> float:
    """The step's hours with the default filled in."""
    if after_hours is not None:
        return after_hours
    return FIRST_DAY_HOURS if day == 0 else 0.0


def cadence_for(cadences: Sequence[Cadence], segment: str | None) -> Cadence | None:
    """The first cadence that is for the segment; a lead of no segment has none."""
    if segment is None:
        return None
    return next((one for one in cadences if not one.segments or segment in one.segments), None)
