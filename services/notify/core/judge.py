"""May this delivery still go out, right now? Judged again right before each send, since minutes may have passed."""

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from services.notify.core.delivery import Purpose, Who
from services.notify.core.notice import Notice, shown, stale

Late = Literal["tell", "drop"]
# Older than this nobody wants to be told; a message that waited so long is given up and can be replayed by hand.
TOO_OLD: Final = timedelta(days=4)


class Send(msgspec.Struct, frozen=True):
    """Send the notice as it is shown now. `late`: it was news once, and is "you missed" now."""

    notice: Notice
    late: bool = False


class Hold(msgspec.Struct, frozen=True):
    """Not before `until`: it joins the digest of that moment, or waits."""

    until: datetime
    reason: str


class Skip(msgspec.Struct, frozen=True):
    """Not needed any more. `reason` is a stable code."""

    reason: str


Verdict = Send | Hold | Skip


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the judgement rests on.

    Attributes:
        read: The rep has marked it as read.
        delivered: The rep's screen has had it.
        shown_seq: The newest version of the notice that this endpoint has had from us, 0 when none.
        quiet_until: Nothing may interrupt the rep before this; None: now it may.
        late: What the channel does with news that is none any more.
        changes: The endpoint can tell of changes, so that the end of something is news there too.
        forced: An operator wants it sent, whatever has happened meanwhile.
    """

    purpose: Purpose
    who: Who
    created_at: datetime
    read: bool = False
    delivered: bool = False
    shown_seq: int = 0
    quiet_until: datetime | None = None
    late: Late = "tell"
    changes: bool = True
    forced: bool = False


def acknowledged(notice: Notice, *, read: bool) -> bool:
    """Whether somebody has reacted: read, accepted, declined, claimed by another, or it has ended."""
    behind = notice.assignment
    # What comes due for a lead that the rep has accepted is news all the same: a cadence's step, a snooze that has ended.
    waits = ("offered", "accepted") if notice.kind == "due" else ("offered",)
    return read or not notice.open or (behind is not None and behind.state not in waits)


def judge(notice: Notice, facts: Facts, now: datetime) -> Verdict:
    """What to do with a delivery of `notice` at `now`."""
    seen = shown(notice, now, delivered=facts.delivered)
    was_news = stale(notice.kind, notice.state, notice.fresh_until, now)
    if facts.forced:
        return Send(seen, was_news)
    if now - facts.created_at > TOO_OLD:
        return Skip("too_old")
    if facts.purpose == "change":
        if facts.shown_seq == 0 and facts.who != "feed":
            return Skip("never_told")
        return Skip("already_shown") if facts.shown_seq >= notice.seq else Send(seen, was_news)
    if facts.who == "feed" and (facts.changes or notice.open):
        return Send(seen, was_news)
    if acknowledged(notice, read=facts.read):
        return Skip("acknowledged")
    if was_news and facts.delivered:
        return Skip("seen_in_time")
    if was_news and facts.late == "drop":
        return Skip("stale")
    # A step to another person makes a notice of theirs: their own quiet hours hold it.
    if facts.quiet_until is not None and facts.quiet_until > now and facts.who == "rep":
        return Hold(facts.quiet_until, "quiet")
    return Send(seen, was_news)
