"""A notice as a card: which words, which buttons, in which part of the inbox? Pure: plain data for the templates."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Final, Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from services.console.filters import ago, clock, initials
from services.console.views.reminders import each_once, first_told, to_do, whole
from services.notify.api.desk import Listed
from services.notify.core.notice import ALERTS, OFFERS, Notice, ShownWhat
from services.notify.core.words import path_of
from services.router.api.desk import Offer

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
    "email.delivered": "got a mail",
    "email.opened": "opened a mail",
    "email.clicked": "clicked",
    "email.replied": "replied to a mail",
    "email.bounced": "mail bounced",
    "email.unsubscribed": "unsubscribed",
    "form.submitted": "sent a form",
    "demo.requested": "asked for a demo",
    "content.downloaded": "downloaded",
    "webinar.registered": "registered for a webinar",
    "webinar.attended": "attended a webinar",
    "meeting.booked": "booked a meeting",
    "meeting.canceled": "canceled a meeting",
    "person.identified": "became known",
    "product.signed_up": "signed up",
}
# The codes of the policy's cool-downs, in the words of a rep.
DECLINES: Final[tuple[tuple[str, str], ...]] = (
    ("bad_fit", "Wrong fit"),
    ("not_now", "Not now"),
    ("not_mine", "Not mine"),
    ("duplicate", "Duplicate"),
    ("bad_data", "Wrong data"),
    ("bot", "A machine"),
    ("other", "Other"),
)
SNOOZES: Final[tuple[tuple[str, str], ...]] = (("30m", "30 min"), ("1h", "1 hour"), ("tomorrow", "Tomorrow 9:00"))
WHAT_SHOWN: Final = 4
MAILTO_BODY_MAX: Final = 1800
# A line this long was broken by the width of a file, not by its writer.
REFLOW_FROM: Final = 50

Section = Literal["now", "task", "snoozed", "missed", "past"]
SECTIONS: Final[tuple[tuple[Section, str], ...]] = (
    ("now", "Right now"),
    ("task", "To answer"),
    ("missed", "You missed"),
    ("snoozed", "Snoozed"),
)


class Did(msgspec.Struct, frozen=True):
    """One line of what they did."""

    words: str
    where: str
    who: str
    at: str
    ago: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One notice, ready to draw.

    Attributes:
        section: Where it stands; `past` needs nothing any more.
        tone: `now`, `task`, `quiet`, `over`, `gone` (struck through) or `mine` (accepted by the rep).
        until: When an alert is no news any more.
        sure: What to tell a screen reader of a new one.
    """

    id: str
    seq: int
    section: Section
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
    edited: bool
    language: str | None
    mailto: str | None
    answerable: bool
    until: str | None
    lead: str
    assignment: str | None
    gen: int | None

    @property
    def sure(self) -> str:
        """One line for a screen reader."""
        return ", ".join(part for part in (self.name, self.about, self.badge) if part)


def card(
    listed: Listed,
    now: datetime,
    *,
    offer: Offer | None = None,
    names: Mapping[str, str] | None = None,
    zone: str = "UTC",
) -> Card:
    """The card of a notice as it looks at `now`.

    Args:
        offer: The offer behind it as the router knows it: a notice follows a moment later.
        names: Rep ids to names; zone: The rep's, for times of the day.
    """
    notice, names = listed.notice, names or {}
    lead, account = notice.lead, notice.account
    company = (account.name or account.domain) if account else ""
    name = lead.name or lead.email or (f"Somebody from {company}" if company else "Somebody")
    several = len(notice.leads) > 1
    section, tone, note = _standing(listed, now, offer, names, zone)
    newest = notice.what[::-1][:WHAT_SHOWN]
    say = notice.say
    body = None if say is None else say.body if say.edited else reflow(say.body)
    return Card(
        id=notice.id,
        seq=notice.seq,
        section=section,
        name=name,
        about=", ".join(part for part in (lead.title, company if company not in name else "") if part),
        initials=initials(name),
        badge=_badge(notice, section, tone),
        tone=tone,
        segment=notice.segment,
        at=notice.updated_at.isoformat(timespec="seconds"),
        ago=ago(notice.updated_at, now),
        why=notice.why,
        note=note,
        did=[_did(one, now, several=several) for one in newest],
        more=max(0, notice.happened - len(newest)),
        subject=say.subject if say else None,
        body=body,
        edited=say.edited if say else False,
        language=say.language if say else None,
        mailto=mailto(lead.email, say.subject, body) if lead.email and say and body else None,
        # Whom an offer was made to answers it: a manager who is told of it sees to the rep.
        answerable=section == "task"
        and notice.assignment is not None
        and not to_do(notice)
        and (offer is None or offer.rep == notice.rep),
        until=notice.fresh_until.isoformat() if section == "now" and notice.fresh_until else None,
        lead=lead.id,
        assignment=notice.assignment.id if notice.assignment else None,
        gen=notice.assignment.gen if notice.assignment else None,
    )


def cards(
    listed: Sequence[Listed],
    now: datetime,
    offers: Mapping[str, Offer],
    names: Mapping[str, str],
    zone: str,
    *,
    beside: Iterable[Listed] = (),
) -> list[Card]:
    """Cards of many notices, in their order: of several about one offer the newest.

    Args:
        beside: Notices that get no card here; a reminder of an offer shows what its first notice said.
    """
    first = first_told((*listed, *beside))
    return [
        card(
            Listed(whole(one.notice, first, zone), one.open),
            now,
            offer=offers.get(one.notice.assignment.id) if one.notice.assignment is not None else None,
            names=names,
            zone=zone,
        )
        for one in each_once(listed)
    ]


def by_section(found: Iterable[Card]) -> dict[Section, list[Card]]:
    """The cards of each part of the inbox."""
    parts: dict[Section, list[Card]] = {name: [] for name, _ in SECTIONS}
    parts["past"] = []
    for one in found:
        parts[one.section].append(one)
    return parts


def until_of(choice: str, now: datetime, zone: str) -> datetime | None:
    """When a snooze ends; None for a choice that there is not."""
    match choice:
        case "30m":
            return now + timedelta(minutes=30)
        case "1h":
            return now + timedelta(hours=1)
        case "tomorrow":
            there = ZoneInfo(zone)
            return datetime.combine(now.astimezone(there).date() + timedelta(days=1), time(9), there)
        case _:
            return None


def mailto(address: str, subject: str, body: str) -> str:
    """A link that opens the rep's own mail program. Long bodies are cut: programs refuse long links."""
    return f"mailto:{quote(address, safe='@')}?subject={quote(subject)}&body={quote(body[:MAILTO_BODY_MAX])}"


def reflow(text: str) -> str:
    """A template's text without the line breaks of its file: paragraphs, lists and short lines stay."""
    found: list[str] = []
    for row in text.split("\n"):
        before = found[-1] if found else ""
        if len(before) >= REFLOW_FROM and row and not row.startswith((" ", "-", "*", "•")):
            found[-1] = f"{before} {row}"
        else:
            found.append(row)
    return "\n".join(found)


def taken(offer: Offer | None, by: str | None, names: Mapping[str, str], now: datetime) -> str:
    """Who was faster, kindly, as in `Olli took it 20 s ago`."""
    who = names.get(offer.rep if offer else by or "", by or "") or "Somebody"
    if offer is None:
        return f"{who} was faster: they have it now."
    verb = "took it" if offer.state == "accepted" else "has been asked"
    return f"{who} {verb} {_just(offer.since, now)}."


def _just(at: datetime, now: datetime) -> str:
    seconds = int((now - at).total_seconds())
    return "just now" if seconds < 3 else f"{seconds} s ago" if seconds < 60 else ago(at, now)


def _standing(
    listed: Listed, now: datetime, offer: Offer | None, names: Mapping[str, str], zone: str
) -> tuple[Section, str, str | None]:
    """Where a notice stands, how it looks, and what is to be said of it."""
    notice = listed.notice
    if notice.state == "recalled":
        return "past", "gone", notice.note
    if notice.state == "claimed":
        if notice.by == notice.rep:
            return "past", "mine", "You have accepted it."
        return (
            "past",
            "over",
            f"{names.get(notice.by or '', notice.by or 'Somebody')} took it {ago(notice.updated_at, now)}.",
        )
    if not listed.open:
        return "past", "over", notice.note
    if notice.kind in OFFERS:
        if offer is not None and not offer.open:
            return "past", "over", "You have answered." if offer.state == "declined" else "It is no longer open."
        mine = offer is not None and offer.rep == notice.rep
        if offer is not None and offer.state == "accepted" and not (mine and to_do(notice)):
            return (
                "past",
                "mine" if mine else "over",
                "You have accepted it." if mine else taken(offer, None, names, now),
            )
        if offer is not None and offer.snoozed_until is not None and offer.snoozed_until > now:
            return "snoozed", "quiet", f"Comes back {clock(offer.snoozed_until, zone)}."
        return "task", "task", notice.note
    if notice.kind in ALERTS:
        return "now", "now", notice.note
    return "missed", "quiet", notice.note


def _badge(notice: Notice, section: Section, tone: str) -> str:
    if tone == "mine":
        return "yours"
    if section == "snoozed":
        return "snoozed"
    return STATES.get(notice.state) or KINDS.get(notice.kind, notice.kind)


def _did(one: ShownWhat, now: datetime, *, several: bool) -> Did:
    return Did(
        words=DID.get(one.signal, one.signal.replace(".", " ").replace("_", " ")),
        where=path_of(one.url or ""),
        who=(one.who or "") if several else "",
        at=one.at.isoformat(timespec="seconds"),
        ago=ago(one.at, now),
    )
