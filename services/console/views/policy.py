"""A policy to read and write: problems, what differs line by line, and the versions. Pure: plain data for the templates."""

from collections.abc import Sequence
from datetime import datetime
from difflib import SequenceMatcher
from typing import Final, Literal

import msgspec

from services.console.filters import ago, clock, plural
from services.policy.store import Stored

AROUND: Final = 3  # lines shown before and after a change
LINES_MAX: Final = 4000  # of a diff; a policy of 256 KB has fewer

Kind = Literal["same", "gone", "new", "gap"]


class Line(msgspec.Struct, frozen=True):
    """One line of a diff. Numbers are None where the line is not on that side."""

    kind: Kind
    old: int | None
    new: int | None
    text: str


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version in the history."""

    number: int
    note: str
    saved_by: str
    saved: str
    at: str
    active: bool
    state: str


def line_diff(before: str, after: str, around: int = AROUND) -> list[Line]:
    """What differs, with some lines around; runs of equal lines become one gap. Empty when nothing differs."""
    old, new = before.splitlines()[:LINES_MAX], after.splitlines()[:LINES_MAX]
    found: list[Line] = []
    last_old = 0
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(around):
        start = group[0][1]
        if start > last_old:
            found.append(_gap(start - last_old))
        for tag, old_from, old_to, new_from, new_to in group:
            if tag == "equal":
                found += [
                    Line("same", old_from + i + 1, new_from + i + 1, old[old_from + i])
                    for i in range(old_to - old_from)
                ]
                continue
            found += [Line("gone", i + 1, None, old[i]) for i in range(old_from, old_to)]
            found += [Line("new", None, i + 1, new[i]) for i in range(new_from, new_to)]
        last_old = group[-1][2]
    if found and last_old < len(old):
        found.append(_gap(len(old) - last_old))
    return found


def _gap(lines: int) -> Line:
    return Line("gap", None, None, f"{plural(lines, 'line is', 'lines are')} the same")


def versions(history: Sequence[Stored], now: datetime) -> list[Version]:
    """The history as rows, newest first."""
    return [
        Version(
            number=one.version,
            note=one.note,
            saved_by=one.saved_by,
            saved=ago(one.saved_at, now),
            at=one.saved_at.isoformat(timespec="seconds"),
            active=one.active,
            state=_state(one),
        )
        for one in history
    ]


def _state(one: Stored) -> str:
    if one.active:
        return f"in force since {clock(one.activated_at or one.saved_at)} UTC, by {one.activated_by or one.saved_by}"
    if one.activated_at is not None:
        return f"put in force {clock(one.activated_at)} UTC by {one.activated_by}"
    return f"saved {clock(one.saved_at)} UTC, never in force"
