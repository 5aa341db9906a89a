"""What does a notice say when the message brings no words of its own? Plain sentences, from the facts alone."""

from typing import Final

from services.notify.core.notice import ShownAccount, ShownLead, ShownSay, ShownWhat

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
LEAD_IN: Final[dict[str, str]] = {
    "visiting_now": "is on the site now",
    "opened": "has just opened an e-mail",
    "clicked": "has just clicked a link",
    "you_missed": "was active while you were away",
    "handover": "is yours to answer",
    "due": "is waiting for your answer",
}


def who_of(lead: ShownLead, account: ShownAccount | None) -> str:
    """How to call the lead: the name, the address, or somebody from the company."""
    company = (account.name or account.domain) if account else ""
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
    company = (account.name or account.domain) if account else "your company"
    return ShownSay(
        subject=f"A question about {company}",
        body=f"Hello{' ' + first if first else ''}, what are you working on at {company} at the moment, "
        "and is there anything I can help with?",
    )
