"""A notice as a card: which words, which buttons? Pure: plain data for the templates."""

from datetime import datetime
from typing import Final

import msgspec

from services.console.filters import ago, initials
from services.notify.core.notice import ALERTS, Notice, ShownWhat
from services.notify.core.words import path_of

KINDS: Final[dict[str, str]] = {
    "handover": "yours to answer",
    "visiting_now": "on the site now",
    "opened": "opened a mail",
    "clicked": "clicked a link",
    "you_missed": "you missed",
    "due": "waiting for you",
}
STATES: Final[dict[str, str]] = {"claimed": "taken", "recalled": "withdrawn", "expired": "over"}
DID: Final[dict[str, str]] = {
    "page.viewed": "viewed",
    "email.opened": "opened a mail",
    "email.clicked": "clicked",
    "email.replied": "replied to a mail",
    "form.submitted": "sent a form",
    "demo.requested": "asked for a demo",
    "content.downloaded": "downloaded",
    "webinar.registered": "registered for a webinar",
    "webinar.attended": "attended a webinar",
    "meeting.booked": "booked a meeting",
    "person.identified": "became known",
}
# The codes of the policy's cool-downs, in the words of a rep.
DECLINES: Final[tuple[tuple[str, str], ...]] = (
    ("bad_fit", "wrong fit"),
    ("not_now", "not now"),
    ("not_mine", "not mine"),
    ("duplicate", "duplicate"),
    ("bad_data", "wrong data"),
    ("bot", "a machine"),
    ("other", "other"),
)
WHAT_SHOWN: Final = 5


class Did(msgspec.Struct, frozen=True):
    """One line of what they did."""

    words: str
    where: str
    who: str
    at: str
    ago: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One notice, ready to draw."""

    id: str
    name: str
    about: str
    initials: str
    badge: str
    tone: str
    segment: str | None
    at: str
    ago: str
    why: str
    note: str | None
    did: list[Did]
    more: int
    subject: str | None
    body: str | None
    mail: str | None
    open: bool
    answerable: bool
    lead: str
    assignment: str | None
    gen: int | None


def card(notice: Notice, now: datetime) -> Card:
    """The card of a notice as it looks at `now`."""
    lead, account = notice.lead, notice.account
    company = (account.name or account.domain) if account else ""
    name = lead.name or lead.email or (f"Somebody from {company}" if company else "Somebody")
    several = len(notice.leads) > 1
    offered = notice.assignment is not None and notice.assignment.state == "offered"
    newest = notice.what[::-1][:WHAT_SHOWN]
    return Card(
        id=notice.id,
        name=name,
        about=", ".join(part for part in (lead.title, company if company not in name else "") if part),
        initials=initials(name),
        badge=STATES.get(notice.state) or KINDS.get(notice.kind, notice.kind),
        tone=_tone(notice),
        segment=notice.segment,
        at=notice.updated_at.isoformat(timespec="seconds"),
        ago=ago(notice.updated_at, now),
        why=notice.why,
        note=notice.note,
        did=[_did(one, now, several=several) for one in newest],
        more=max(0, notice.happened - len(newest)),
        subject=notice.say.subject if notice.say else None,
        body=notice.say.body if notice.say else None,
        mail=lead.email,
        open=notice.open,
        answerable=notice.open and offered and notice.kind in ("handover", "due"),
        lead=lead.id,
        assignment=notice.assignment.id if notice.assignment else None,
        gen=notice.assignment.gen if notice.assignment else None,
    )


def _did(one: ShownWhat, now: datetime, *, several: bool) -> Did:
    return Did(
        words=DID.get(one.signal, one.signal.replace(".", " ").replace("_", " ")),
        where=path_of(one.url or ""),
        who=(one.who or "") if several else "",
        at=one.at.isoformat(timespec="seconds"),
        ago=ago(one.at, now),
    )


def _tone(notice: Notice) -> str:
    if notice.state == "recalled":
        return "gone"
    if not notice.open:
        return "over"
    if notice.kind in ALERTS:
        return "now"
    return "quiet" if notice.kind == "you_missed" else "task"
