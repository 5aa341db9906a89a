"""What does a notice say when the message brings no words of its own? Plain sentences, from the facts alone."""

import re
from datetime import UTC, datetime
from typing import Final

from services.directory.core.hours import zone
from services.notify.core.notice import Notice, ShownAccount, ShownLead, ShownSay, ShownWhat

DID: Final[dict[str, str]] = {
    "page.viewed": "looked at",
    "email.opened": "opened your e-mail",
    "email.clicked": "clicked",
    "email.replied": "replied to your e-mail",
    "form.submitted": "sent a form on",
    "demo.requested": "asked for a demo",
    "content.downloaded": "downloaded",
    "webinar.attended": "attended a webinar",
    "meeting.booked": "booked a meeting",
}
LABEL: Final[dict[str, str]] = {
    "handover": "New lead for you",
    "due": "Still waiting for you",
    "visiting_now": "On the site now",
    "opened": "Has opened your e-mail",
    "clicked": "Has clicked a link",
    "you_missed": "You missed",
}
LEAD_IN: Final[dict[str, str]] = {
    "visiting_now": "is on the site now",
    "opened": "has just opened an e-mail",
    "clicked": "has just clicked a link",
    "you_missed": "was active while you were away",
    "handover": "is yours to answer",
    "due": "is waiting for your answer",
}


_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f\u2028\u2029]+")


def flat(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters: fit for a header."""
    line = one_line(text)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def one_line(text: str) -> str:
    """`text` on one line: no breaks, no control characters."""
    return _BLANKS.sub(" ", text).strip()


def local(at: datetime, timezone: str) -> datetime:
    """The moment by the clock of somebody in `timezone`; UTC when that is none."""
    try:
        return at.astimezone(zone(timezone))
    except ValueError:
        return at.astimezone(UTC)


def moment(at: datetime, timezone: str) -> str:
    """The moment as somebody in `timezone` reads it, with the zone's name."""
    return f"{local(at, timezone):%Y-%m-%d %H:%M %Z}"


def label_of(kind: str) -> str:
    """What a kind of notice is called where it has a heading."""
    return LABEL.get(kind, "News")


def company_of(account: ShownAccount | None) -> str:
    """How to call the company; empty when it is not known."""
    return (account.name or account.domain) if account else ""


def heading_of(notice: Notice) -> str:
    """The heading of a message about one notice: what it is, who, and of which company."""
    who, company = who_of(notice.lead, notice.account), company_of(notice.account)
    return f"{label_of(notice.kind)}: {who}" + (f", {company}" if company and company not in who else "")


def who_of(lead: ShownLead, account: ShownAccount | None) -> str:
    """How to call the lead: the name, the address, or somebody from the company."""
    company = company_of(account)
    return lead.name or lead.email or (f"Somebody from {company}" if company else "Somebody")


def why_of(kind: str, lead: ShownLead, account: ShownAccount | None, what: list[ShownWhat]) -> str:
    """One sentence on why the rep hears of it now."""
    sentence = f"{who_of(lead, account)} {LEAD_IN.get(kind, 'was active')}"
    if not what:
        return sentence + "."
    last = what[-1]
    did = DID.get(last.signal, last.signal)
    return f"{sentence}: {did} {path_of(last.url)}." if last.url else f"{sentence}: {did}."


def path_of(url: str) -> str:
    """What a person reads of an address: the path, or the site when there is none."""
    rest = url.partition("://")[2]
    if not rest:
        return url
    host, _, path = rest.partition("/")
    return f"/{path}" if path else host


def say_of(lead: ShownLead, account: ShownAccount | None) -> ShownSay:
    """A neutral opening that is true whatever happened. The policy's templates give better ones."""
    first = lead.name.split()[0] if lead.name and lead.name.split() else ""
    company = company_of(account) or "your company"
    return ShownSay(
        subject=f"A question about {company}",
        body=f"Hello{' ' + first if first else ''}, what are you working on at {company} at the moment, "
        "and is there anything I can help with?",
        language="en",
    )
