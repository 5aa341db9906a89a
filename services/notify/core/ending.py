"""What becomes of notices that are already there, when their lead is taken, withdrawn, closed or erased?"""

from datetime import datetime

import msgspec

from schemas.messages import AssignmentState, LeadRouted
from services.notify.core.desk import Desks, change, of_lead
from services.notify.core.notice import OFFERS, Notice, ShownLead, ShownWhat
from services.notify.core.words import say_of, who_of, why_of


def claimed(desks: Desks, routed: LeadRouted, now: datetime) -> None:
    """A rep has taken the lead: the others need not call any more."""
    by = routed.by or (routed.assignment.rep if routed.assignment else routed.assignee)
    for one, notice in of_lead(desks, routed.lead.id):
        mine = one.rep == by
        taken = bool(
            mine and notice.assignment and (not routed.assignment or notice.assignment.id == routed.assignment.id)
        )
        if notice.kind in OFFERS:
            note = "You have accepted it." if mine else f"Taken by {by}."
            state: AssignmentState = "accepted" if taken else "closed"
            change(one, notice, now, state="claimed", assignment=state, note=note, by=by)
        elif not mine and notice.leads == [routed.lead.id]:
            change(one, notice, now, state="claimed", assignment=None, note=f"Taken by {by}.", by=by)


def recalled(desks: Desks, routed: LeadRouted, now: datetime) -> None:
    """An offer, or what an alert told, has turned out wrong: struck through, with why."""
    gone = {w.event_id for w in routed.what if w.event_id}
    note = routed.why or next((r.text for r in routed.reasons), "Withdrawn.")
    for one, notice in of_lead(desks, routed.lead.id):
        if notice.kind in OFFERS:
            if gone and routed.assignment is None:
                continue  # only acts were taken back: what was offered, or accepted, stays
            if routed.assignment and notice.assignment and notice.assignment.id != routed.assignment.id:
                continue
            change(one, notice, now, state="recalled", assignment="recalled", note=note)
            continue
        left = [w for w in notice.what if w.event_id not in gone]
        if len(left) == len(notice.what):
            continue
        if left:
            # Part of what it told has turned out wrong: the rest still holds.
            happened = notice.happened - (len(notice.what) - len(left))
            told = notice if notice.what[-1].event_id not in gone else _of_the_rest(notice, left)
            one.put(msgspec.structs.replace(told, what=left, happened=happened, updated_at=now))
        else:
            change(one, notice, now, state="recalled", assignment=None, note=note)


def _of_the_rest(notice: Notice, left: list[ShownWhat]) -> Notice:
    """The notice in words about its newest act that still holds: those it had were about one that is taken back."""
    lead, last = notice.lead, left[-1]
    if last.lead_id is None or last.lead_id == lead.id:
        return msgspec.structs.replace(notice, why=why_of(notice.kind, lead, notice.account, left))
    nobody = ShownLead(id=last.lead_id)
    lead = nobody if last.who == who_of(nobody, notice.account) else ShownLead(id=last.lead_id, name=last.who)
    return msgspec.structs.replace(
        notice,
        lead=lead,
        why=why_of(notice.kind, lead, notice.account, left),
        say=notice.say if notice.say is not None and notice.say.edited else say_of(lead, notice.account),
        assignment=None,
    )


def closed(desks: Desks, routed: LeadRouted, now: datetime) -> None:
    """Won, lost, declined or merged away: nobody waits for an answer any more."""
    state: AssignmentState = routed.assignment.state if routed.assignment else "closed"
    note = routed.why or next((r.text for r in routed.reasons), "Closed.")
    for one, notice in of_lead(desks, routed.lead.id):
        if notice.kind in OFFERS:
            if routed.assignment and notice.assignment and notice.assignment.id != routed.assignment.id:
                continue
            change(one, notice, now, state="expired", assignment=state, note=note, by=routed.by)
        elif notice.leads == [routed.lead.id]:
            change(one, notice, now, state="expired", assignment=None, note=note, by=routed.by)


def erased(desks: Desks, lead_id: str, now: datetime) -> None:
    """Remove everything personal about the lead from every notice, open or not."""
    for one in desks.values():
        for notice in list(one.notices.values()):
            if lead_id not in notice.leads:
                continue
            alone = notice.leads == [lead_id]
            kept = [w for w in notice.what if not alone and w.lead_id != lead_id]
            shown = notice.lead.id == lead_id
            one.put(
                msgspec.structs.replace(
                    notice,
                    state="expired" if alone and notice.open else notice.state,
                    lead=ShownLead(id=lead_id) if shown else notice.lead,
                    what=kept,
                    # The words were made for several people together: none of them may name the one who is gone.
                    why="Removed at the person's request.",
                    say=None,
                    note=None,
                    updated_at=now,
                )
            )
