"""An offer and its reminders are one thing to a rep: which notice stands for them, and what does it say? Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from services.console.filters import clock
from services.notify.api.desk import Listed
from services.notify.core.notice import OFFERS, Notice


def to_do(notice: Notice) -> bool:
    """Something is due for a lead that the rep has accepted: it is done, not answered."""
    behind = notice.assignment
    return notice.kind == "due" and behind is not None and behind.state == "accepted"


def reminds(notice: Notice) -> bool:
    """An offer that the rep has heard of before is told once more."""
    return notice.kind == "due" and notice.assignment is not None and (notice.state == "claimed" or not to_do(notice))


def each_once(listed: Iterable[Listed]) -> list[Listed]:
    """Of several notices about one offer the newest, of open ones and of closed ones."""
    kept = [(_offer_of(one), one) for one in listed]
    newest: dict[tuple[str, bool], int] = {}
    for key, one in kept:
        if key is not None:
            newest[key] = max(newest.get(key, 0), one.notice.seq)
    return [one for key, one in kept if key is None or one.notice.seq == newest[key]]


def first_told(listed: Iterable[Listed]) -> dict[str, Notice]:
    """Offers to the notice that told of them first."""
    told = (one.notice for one in listed if one.notice.kind == "handover")
    return {notice.assignment.id: notice for notice in told if notice.assignment is not None}


def whole(notice: Notice, first: Mapping[str, Notice], zone: str) -> Notice:
    """A reminder with what the rep needs for an answer: who did what, why now, what to say. Other notices as they are.

    Args:
        first: `first_told`; what is not there cannot be added.
        zone: The rep's.
    """
    begun = first.get(notice.assignment.id) if notice.assignment is not None and reminds(notice) else None
    if begun is None:
        return notice
    own = notice.say is not None and notice.say.edited
    return msgspec.structs.replace(
        notice,
        what=notice.what or begun.what,
        happened=notice.happened or begun.happened,
        why=begun.why,
        say=notice.say if own or begun.say is None else begun.say,
        note=notice.note or f"Waits for your answer since {clock(begun.created_at, zone)}.",
    )


def _offer_of(one: Listed) -> tuple[str, bool] | None:
    behind = one.notice.assignment
    if behind is None or one.notice.kind not in OFFERS:
        return None
    # What was to be done and is done is one thing each.
    return (behind.id, one.open) if one.open or one.notice.kind != "due" or reminds(one.notice) else None
