"""What is the rep told? What the lead did, why it matters now, and what to say."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.messages import AccountRef, Cause, LeadRef, LeadScored, Reason, Say, What
from services.directory.core.people import Rep
from services.policy.core.policy import Policy
from services.policy.core.template import Template
from services.router.core.model import Verdict

WHATS_KEPT: Final = 8
ACTS: Final[dict[str, str]] = {
    "page.viewed": "viewed {page}",
    "email.clicked": "clicked {page} in a mail",
    "email.opened": "opened a mail",
    "email.replied": "replied to a mail",
    "form.submitted": "sent a form",
    "demo.requested": "asked for a demo",
    "content.downloaded": "downloaded {name}",
    "webinar.registered": "registered for a webinar",
    "webinar.attended": "attended a webinar",
    "meeting.booked": "booked a meeting",
    "meeting.canceled": "canceled a meeting",
    "product.signed_up": "signed up for the product",
    "person.identified": "became known",
}
# `Content Downloaded`, `guide_requested`: the name of the event, where the document's should be.
EVENT_NAME: Final = re.compile(r"^(downloaded|requested)|(download|downloaded|requested)$", re.IGNORECASE)


def what_of(cause: Cause) -> What:
    """One act as the notice shows it."""
    return What(
        signal=cause.signal, at=cause.occurred_at, url=cause.url or cause.link or cause.path, event_id=cause.event_id
    )


def cause_of(what: What) -> Cause:
    """An act that the lead remembers, as far as it is still known."""
    return Cause(
        event_id=what.event_id or "", signal=what.signal, occurred_at=what.at, received_at=what.at, url=what.url
    )


def remember(recent: Sequence[What], causes: Sequence[Cause]) -> list[What]:
    """The last acts of the lead, newest first, without those that were taken back."""
    if not causes:
        return list(recent)
    gone = {cause.event_id for cause in causes if cause.reversed}
    fresh = [what_of(c) for c in causes if not c.reversed and c.actor != "machine" and c.event_id not in gone]
    kept = [what for what in recent if what.event_id not in gone]
    return sorted([*fresh, *kept], key=lambda w: (w.at, w.event_id or ""), reverse=True)[:WHATS_KEPT]


def lead_ref(snapshot: LeadScored) -> LeadRef:
    """The lead as reps see it."""
    person = snapshot.person
    return LeadRef(id=snapshot.lead_id, email=person.email, name=person.name, title=person.title)


def who(snapshot: LeadScored) -> str:
    """The lead in words: `Anni Virta, VP Operations at Nordwind Industries`, or `somebody from Nordwind Industries`."""
    account = company(snapshot.account)
    if not snapshot.known:
        return f"somebody from {account}" if account else "somebody"
    person = snapshot.person
    name = person.name or person.email or "a lead"
    named = f"{name}, {person.title}" if person.title else name
    return f"{named} at {account}" if account else named


def company(account: AccountRef | None) -> str:
    """The account's name without its legal form is not ours to guess: the name as it stands, else the domain."""
    return (account.name or account.domain) if account is not None else ""


def act(cause: Cause) -> str:
    """What was done, in words: `viewed /pricing`."""
    words = ACTS.get(cause.signal, cause.signal.replace(".", " ").replace("_", " "))
    page = cause.path or cause.url or cause.link or "a page"
    name = cause.name if cause.name and not EVENT_NAME.search(cause.name) else "a document"
    return words.format(page=page, name=name)


def why_handover(snapshot: LeadScored, verdict: Verdict, causes: Sequence[Cause]) -> str:
    """Why the rep gets the lead now."""
    human = [cause for cause in causes if not cause.reversed and cause.actor != "machine"]
    acts = list(dict.fromkeys([act(cause) for cause in human]))[-3:]
    did = f" {_joined(acts)}." if acts else " is ready for you."
    return f"{_upper(who(snapshot))}:{did} {_sentences(verdict.reasons, 'stage_reached', 'handover_due')}".strip()


def why_alert(snapshot: LeadScored, cause: Cause) -> str:
    """Why the rep hears of one act."""
    return f"{_upper(who(snapshot))} {act(cause)}"


class Speaker(NamedTuple):
    """The one who will send the message. `languages`: codes, most wanted first."""

    name: str
    title: str = ""
    languages: tuple[str, ...] = ()


def speaker(rep_id: str, rep: Rep | None) -> Speaker:
    """The rep as the one who sends a message; by the id alone when the directory has no such rep."""
    return Speaker(rep.name or rep_id, rep.title, rep.languages) if rep is not None else Speaker(rep_id)


def say(
    snapshot: LeadScored,
    segment: str | None,
    stage: str,
    rep: Speaker,
    policy: Policy,
    *,
    why: str,
    causes: Sequence[Cause],
) -> Say | None:
    """The ready message for this segment, persona and stage; None when the policy has none that fits."""
    template = template_of(snapshot, segment, stage, rep, policy)
    if template is None:
        return None
    return template.fill(values_of(snapshot, segment, stage, rep, policy, why=why, causes=causes))


def template_of(snapshot: LeadScored, segment: str | None, stage: str, rep: Speaker, policy: Policy) -> Template | None:
    """The ready message before its names are filled in: in the lead's language, or where nobody knows it, the rep's."""
    person = snapshot.person
    return policy.template_for(segment, person.role, stage, person.language, rep.languages)


def values_of(
    snapshot: LeadScored,
    segment: str | None,
    stage: str,
    rep: Speaker,
    policy: Policy,
    *,
    why: str,
    causes: Sequence[Cause],
) -> dict[str, str | None]:
    """What the names of a ready message stand for."""
    person, account = snapshot.person, snapshot.account
    rule = policy.segment(segment)
    last = causes[-1] if causes else None
    return {
        "lead.name": person.name,
        "lead.first_name": first_name(person.name),
        "lead.email": person.email,
        "lead.title": person.title,
        "account.name": company(account) or None,
        "account.domain": account.domain if account is not None else None,
        "account.industry": account.industry if account is not None else None,
        "rep.name": rep.name,
        "rep.first_name": first_name(rep.name),
        "rep.title": rep.title,
        "segment": segment,
        "stage": stage.replace("_", " "),
        "why": why,
        "what": act(last) if last is not None else None,
        "page": (last.path or last.url) if last is not None else None,
        "shop_url": rule.shop_url if rule is not None else None,
    }


def first_name(name: str | None) -> str | None:
    """The first word of a name; None for no name."""
    words = (name or "").split()
    return words[0] if words else None


def _sentences(reasons: Sequence[Reason], *codes: str) -> str:
    return " ".join([f"{_upper(reason.text)}." for reason in reasons if reason.code in codes])


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
