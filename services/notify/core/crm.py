"""What does a notice ask of a CRM? The person gets an owner and a task; when the notice is over, so is the task.

None of the CRMs has a key for creates: the task carries our id in its text, and is looked for before it is made.
"""

from datetime import date, datetime, timedelta
from html import escape
from typing import Final, Literal

import msgspec

from services.directory.core.people import Rep
from services.notify.core.notice import Notice
from services.notify.core.words import DID, company_of, flat, label_of, local, path_of, who_of

SetOwner = Literal["offer", "accept", "never"]
OWNER_WHEN: Final = ("offer", "accept", "never")
# A task without a due time of its own: the first reaction decides (SLA of the policy stands in the inbox).
DUE_IN: Final = timedelta(hours=1)
SUBJECT_MAX: Final = 200
BODY_MAX: Final = 4000


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done for one person.

    Attributes:
        id: Stands in the task's text; the same for all tries.
        email: Finds the person.
        rep_email: Finds the owner.
        own: Make the rep the owner.
        task: Create the task, unless it is there.
        due_at, due_on: When the task is due, and the day by the rep's own calendar.
        finish: Id of the task that is over; empty: none.
    """

    id: str
    email: str
    name: str = ""
    title: str = ""
    company: str = ""
    rep_email: str
    subject: str = ""
    body: str = ""
    due_at: datetime
    due_on: date
    own: bool = False
    task: bool = False
    finish: str = ""


def marker(order_id: str) -> str:
    """What the task is found by again. The id stands alone in it: searches go by words."""
    return f"lead-router {order_id}"


def rich(text: str) -> str:
    """`text` for a field that shows HTML: nothing in it is markup, and its lines stay lines."""
    return escape(text, quote=False).replace("\n", "<br>")


def job(
    notice: Notice, rep: Rep, *, order_id: str, change: bool, set_owner: SetOwner, task: str, lead_url: str
) -> Job | None:
    """The job of an order; None: there is nothing to do, or nobody to do it for.

    Args:
        change: The notice has changed since the task was made.
        task: Id of the task that was made; empty: none.
        lead_url: The lead's page; empty: not known.
    """
    email, offer = notice.lead.email, notice.assignment
    if not email or not rep.email:
        return None
    accepted = offer is not None and offer.state == "accepted"
    # The rep's own acceptance claims the notice: it is over in the inbox, not in the CRM.
    theirs = notice.open or (accepted and notice.state == "claimed")
    if not change and not theirs:
        return None
    # It may have been accepted before the CRM heard of it at all: then no change comes after this.
    own = (set_owner == "offer" and not change) or (set_owner == "accept" and accepted and theirs)
    finish = task if change and not notice.open and not accepted else ""
    if change and not own and not finish:
        return None
    who = who_of(notice.lead, notice.account)
    due_at = notice.created_at + DUE_IN
    return Job(
        id=order_id,
        email=email,
        name=notice.lead.name or "",
        title=notice.lead.title or "",
        company=company_of(notice.account),
        rep_email=rep.email,
        subject=flat(f"{label_of(notice.kind)}: {who}", SUBJECT_MAX),
        body=_body(notice, order_id, lead_url),
        due_at=due_at,
        due_on=local(due_at, rep.timezone).date(),
        own=own,
        task=not change,
        finish=finish,
    )


def names_of(name: str) -> tuple[str, str]:
    """First and last name, as a CRM wants them; the last name is never empty."""
    first, _, last = name.strip().partition(" ")
    return (first, last) if last else ("", first or "Unknown")


def _body(notice: Notice, order_id: str, lead_url: str) -> str:
    did = [
        f"- {flat(DID.get(one.signal, one.signal) + (' ' + path_of(one.url) if one.url else ''), 200)}"
        for one in notice.what[-8:]
    ]
    say = notice.say
    parts = [notice.why, "\n".join(did), f"What to say:\n{say.body}" if say is not None else "", lead_url]
    text = "\n\n".join(part for part in parts if part)
    return f"{text[:BODY_MAX]}\n\n[{marker(order_id)}]"
