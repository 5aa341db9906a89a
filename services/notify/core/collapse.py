"""Does this alert join a notice that is already there? One alert per kind, account and rep for a while."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from schemas.messages import NoticeKind
from services.notify.core.notice import Notice, ShownWhat

# What a rep can take in, and a bound for the row: the newest twenty; the rest is counted.
WHAT_MAX: Final = 20


def collapse_key(
    kind: NoticeKind, *, account: str | None, lead_id: str, assignment_id: str | None = None
) -> str | None:
    """The key under which notices of one rep join; None for a handover, which never joins.

    Args:
        account: Domain of the company; without one the lead stands alone.
        assignment_id: For `due`: reminders of one offer join.
    """
    if kind == "handover":
        return None
    if kind == "due":
        return f"due|{assignment_id or lead_id}"
    return f"{kind}|{account}" if account else f"{kind}|lead:{lead_id}"


def joinable(notices: Iterable[Notice], key: str | None, now: datetime, window_s: float) -> Notice | None:
    """The open notice that an alert with `key` joins at `now`, or None.

    Args:
        notices: All loaded notices of one rep.
        window_s: Seconds from the first alert within which later ones join, at least 0.
    """
    if key is None:
        return None
    limit = timedelta(seconds=window_s)
    found = [n for n in notices if n.collapse == key and n.open and now - n.created_at < limit]
    return max(found, key=lambda n: (n.created_at, n.id), default=None)


def extended(what: list[ShownWhat], more: list[ShownWhat]) -> tuple[list[ShownWhat], int]:
    """`what` with `more` in time order, each event once, bounded; and how many were added."""
    known = {w.event_id for w in what if w.event_id}
    added = []
    for one in more:
        if one.event_id and one.event_id in known:
            continue
        if one.event_id:
            known.add(one.event_id)
        added.append(one)
    together = sorted([*what, *added], key=lambda w: w.at)
    return together[-WHAT_MAX:], len(added)
