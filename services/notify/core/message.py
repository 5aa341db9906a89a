"""Which notices does a routed message make or change? A fold over the inboxes ("desks") it touches; no I/O.

`needs` says what must be locked and loaded, `apply` changes the desks; `desk.numbered` then gives every changed notice
its place behind the rep's cursor.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from schemas.messages import LeadRouted, NoticeKind
from services.notify.core import ending
from services.notify.core.budget import spend
from services.notify.core.collapse import collapse_key, extended, joinable
from services.notify.core.desk import Desk, Desks, change, of_lead
from services.notify.core.notice import (
    ALERTS,
    OFFERS,
    Notice,
    ShownAccount,
    ShownAssignment,
    ShownLead,
    ShownSay,
    ShownWhat,
    stale,
)
from services.notify.core.words import say_of, who_of, why_of

# Identifiers become text in PostgreSQL (no NUL) and parts of lists (no blanks).
NAME: Final = re.compile(r"[^\x00-\x20\x7f]{1,253}")
ALERT_OF_SIGNAL: Final[Mapping[str, NoticeKind]] = {"email.opened": "opened", "email.clicked": "clicked"}


class Needs(msgspec.Struct, frozen=True):
    """What `apply` wants to see. `leads`: open notices of these; `erased`: all notices of these."""

    reps: frozenset[str]
    keys: frozenset[str]
    leads: frozenset[str]
    erased: frozenset[str]


def notice_id(message_id: str, rep: str) -> str:
    """The same for the same message and rep, so that a repeated message cannot make a second notice."""
    return blake2b(f"{message_id}|{rep}".encode(), digest_size=16).hexdigest()


def reps_of(routed: LeadRouted) -> list[str]:
    """To whom a new notice goes, each rep once, in the message's order."""
    if routed.kind == "decided":
        return [routed.assignment.rep] if routed.assignment and routed.assignment.state == "offered" else []
    if routed.kind in ("alert", "due"):
        told = routed.recipients or [r for r in (routed.assignment and routed.assignment.rep, routed.assignee) if r][:1]
        return list(dict.fromkeys(told))
    return []


def kind_of(routed: LeadRouted, now: datetime) -> NoticeKind:
    """The kind of the notice that the message makes at `now`; an alert that is no news any more is `you_missed`."""
    if routed.kind == "decided":
        return "handover"
    if routed.kind == "due":
        return "due"
    last = routed.what[-1].signal if routed.what else ""
    kind = routed.alert or ALERT_OF_SIGNAL.get(last, "visiting_now")
    return "you_missed" if stale(kind, "new", routed.fresh_until, now) else kind


def key_of(routed: LeadRouted, kind: NoticeKind) -> str | None:
    """Under which key the message's notice joins another."""
    return collapse_key(
        kind,
        account=routed.account.domain if routed.account else None,
        lead_id=routed.lead.id,
        assignment_id=routed.assignment.id if routed.assignment else None,
    )


def problem_of(routed: LeadRouted) -> str | None:
    """What makes the message impossible to store, in words; None when it is sound."""
    names = [routed.lead.id, *routed.recipients]
    if routed.assignment:
        names += [routed.assignment.rep, routed.assignment.id]
    if routed.account:
        names.append(routed.account.domain)
    for name in names:
        if not NAME.fullmatch(name):
            return f"the identifier {name[:40]!r} is empty, too long or holds blanks"
    times = [routed.fresh_until, *(w.at for w in routed.what)]
    times += [routed.timing.occurred_at, routed.timing.received_at, routed.timing.routed_at]
    if any(t is not None and t.tzinfo is None for t in times):
        return "a time stands without its zone; write it as 2026-01-31T12:00:00Z"
    return None


def needs(messages: Iterable[LeadRouted], now: datetime) -> Needs:
    """What must be loaded before these messages are applied at `now`."""
    reps: set[str] = set()
    keys: set[str] = set()
    leads: set[str] = set()
    erased: set[str] = set()
    for routed in messages:
        told = reps_of(routed)
        reps.update(told)
        if routed.kind in ("alert", "due") and told:
            keys.update(filter(None, (key_of(routed, kind_of(routed, now)),)))
        elif routed.kind == "erased":
            erased.add(routed.lead.id)
        elif routed.kind != "decided" or told:
            leads.add(routed.lead.id)
    return Needs(frozenset(reps), frozenset(keys), frozenset(leads), frozenset(erased))


def apply(desks: Desks, message_id: str, routed: LeadRouted, now: datetime, window_s: float) -> None:
    """Change the desks by one message.

    Args:
        desks: Rep to desk; holds every rep of `needs` and every rep who has a notice of its leads.
        message_id: Unique and the same when the message is repeated.
        now: The wall clock: this is the moment of sending, so freshness is judged by it.
        window_s: Seconds in which alerts join, at least 0.
    """
    match routed.kind:
        case "decided":
            _handover(desks, message_id, routed, now)
        case "alert" | "due":
            for rep in reps_of(routed):
                _tell(desks[rep], message_id, routed, now, window_s)
        case "claimed":
            ending.claimed(desks, routed, now)
        case "recalled":
            ending.recalled(desks, routed, now)
        case "closed":
            ending.closed(desks, routed, now)
        case "erased":  # pragma: no branch  mypy proves that there is no other kind
            ending.erased(desks, routed.lead.id, now)


def _new(one: Desk, message_id: str, routed: LeadRouted, kind: NoticeKind, now: datetime) -> Notice:
    what, happened = extended([], _what(routed))
    lead, account = _lead(routed), _account(routed)
    quiet = False
    if kind in ALERTS:
        one.budget, had = spend(one.budget, now)
        quiet = not had
    return Notice(
        id=notice_id(message_id, one.rep),
        rep=one.rep,
        kind=kind,
        lead=lead,
        account=account,
        what=what,
        happened=happened,
        why=routed.why or why_of(kind, lead, account, what),
        say=_say(routed, lead, account),
        assignment=_assignment(routed),
        segment=routed.segment,
        decision_id=routed.decision_id,
        quiet=quiet or kind == "you_missed",
        created_at=now,
        updated_at=now,
        fresh_until=routed.fresh_until if kind in ALERTS else None,
        occurred_at=routed.timing.occurred_at,
        received_at=routed.timing.received_at,
        leads=[routed.lead.id],
        collapse=key_of(routed, kind),
    )


def _handover(desks: Desks, message_id: str, routed: LeadRouted, now: datetime) -> None:
    offer = routed.assignment
    if offer is None or offer.state != "offered":
        return
    for one, notice in of_lead(desks, routed.lead.id, OFFERS):
        older = notice.assignment
        if older is None or older.gen > offer.gen:
            continue
        if older.id == offer.id and older.gen == offer.gen:
            if notice.kind == "handover" and one.rep == offer.rep:
                return  # this very offer has been told already
            continue
        # A lead has one open offer: whatever an older one said is over.
        change(one, notice, now, state="recalled", assignment="recalled", note="The lead was offered again.")
    one = desks[offer.rep]
    one.put(_new(one, message_id, routed, "handover", now))


def _tell(one: Desk, message_id: str, routed: LeadRouted, now: datetime, window_s: float) -> None:
    kind = kind_of(routed, now)
    open_one = joinable(one.notices.values(), key_of(routed, kind), now, window_s)
    if open_one is None:
        one.put(_new(one, message_id, routed, kind, now))
        return
    what, added = extended(open_one.what, _what(routed))
    lead, account = _lead(routed), _account(routed)
    fresh = [t for t in (open_one.fresh_until, routed.fresh_until) if t is not None]
    one.put(
        msgspec.structs.replace(
            open_one,
            # Not stored yet: the rep has not seen it, so for them it is new.
            state="joined" if open_one.seq else "new",
            lead=lead,
            account=account or open_one.account,
            what=what,
            happened=open_one.happened + added,
            why=routed.why or why_of(kind, lead, account, what),
            say=open_one.say if open_one.say is not None and open_one.say.edited else _say(routed, lead, account),
            assignment=_assignment(routed) or open_one.assignment,
            updated_at=now,
            fresh_until=max(fresh) if fresh and kind in ALERTS else None,
            occurred_at=routed.timing.occurred_at or open_one.occurred_at,
            received_at=routed.timing.received_at or open_one.received_at,
            leads=list(dict.fromkeys([*open_one.leads, routed.lead.id])),
        )
    )


def _lead(routed: LeadRouted) -> ShownLead:
    lead = routed.lead
    return ShownLead(id=lead.id, email=lead.email, name=lead.name, title=lead.title)


def _account(routed: LeadRouted) -> ShownAccount | None:
    return ShownAccount(domain=routed.account.domain, name=routed.account.name) if routed.account else None


def _say(routed: LeadRouted, lead: ShownLead, account: ShownAccount | None) -> ShownSay:
    said = routed.say
    if said is None:
        return say_of(lead, account)
    return ShownSay(subject=said.subject, body=said.body, language=said.language)


def _assignment(routed: LeadRouted) -> ShownAssignment | None:
    behind = routed.assignment
    return ShownAssignment(id=behind.id, gen=behind.gen, state=behind.state) if behind else None


def _what(routed: LeadRouted) -> list[ShownWhat]:
    who = who_of(_lead(routed), _account(routed))
    return [
        ShownWhat(signal=w.signal, at=w.at, url=w.url, event_id=w.event_id, lead_id=routed.lead.id, who=who)
        for w in routed.what
    ]
