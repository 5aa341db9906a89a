"""Which deliveries does a changed notice make? Channels by preference, quiet hours, budget, ladder; feeds get all.

Pure: the same notice, facts and moment give the same rows, and a row's id follows from what it is for.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from services.directory.core.people import Rep
from services.notify.core.budget import interrupted, next_interrupt
from services.notify.core.delivery import INBOX, Delivery, EndpointFacts, Known, Purpose, Who, delivery_id
from services.notify.core.notice import ALERTS, Notice, stale
from services.notify.core.preference import TO_PEOPLE, Preferences, quiet_until

# What interrupts within the budget; an offer has a clock of its own and always goes, though it counts.
BUDGETED: Final = ALERTS | {"you_missed"}


class Desk(msgspec.Struct, kw_only=True):
    """What is known of a rep while their changed notices are planned.

    Attributes:
        rep: As the directory has them; None when it does not.
        interrupts: When they were or will be interrupted.
        digests: Endpoint to when its next digest is due.
        planned: The rows, in order.
    """

    id: str
    rep: Rep | None
    prefs: Preferences
    per_hour: int
    endpoints: Sequence[EndpointFacts]
    interrupts: tuple[datetime, ...] = ()
    digests: dict[str, datetime] = msgspec.field(default_factory=dict)
    planned: list[Delivery] = msgspec.field(default_factory=list)


def plan(desk: Desk, notice: Notice, known: Iterable[Known], *, delivered: bool, now: datetime) -> None:
    """Add the deliveries of a notice that is new or has changed.

    Args:
        known: What was planned for it before.
        delivered: The rep's screen has had it.
    """
    before: dict[str, list[Known]] = {}
    for one in known:
        before.setdefault(one.endpoint, []).append(one)
    for endpoint in desk.endpoints:
        if endpoint.feed and _fits(endpoint, notice):
            _feed(desk, endpoint, notice, before.get(endpoint.id, []), now)
    _personal(desk, notice, before, delivered=delivered, now=now)


def channels_of(desk: Desk, notice: Notice) -> list[EndpointFacts]:
    """The rep's own channels for a notice, as preferred, or as the endpoints say."""
    own = [e for e in desk.endpoints if not e.feed and _may_have(e, notice)]
    asked = (desk.prefs.channels or {}).get(notice.kind)
    if asked is None:
        return [e for e in own if notice.kind in e.kinds]
    by_id = {e.id: e for e in own}
    return [by_id[one] for one in dict.fromkeys(asked) if one in by_id]


def _fits(endpoint: EndpointFacts, notice: Notice) -> bool:
    return notice.kind in endpoint.kinds and _may_have(endpoint, notice)


def _may_have(endpoint: EndpointFacts, notice: Notice) -> bool:
    """Whether the operator lets notices of this rep and segment go there, whatever the rep prefers."""
    return (not endpoint.reps or notice.rep in endpoint.reps) and (
        not endpoint.segments or notice.segment in endpoint.segments
    )


def _feed(desk: Desk, endpoint: EndpointFacts, notice: Notice, known: list[Known], now: datetime) -> None:
    told = any(one.purpose == "tell" for one in known)
    if not told and (notice.open or endpoint.changes):
        desk.planned.append(_row(notice, endpoint.id, "tell", now, who="feed"))
    elif told and endpoint.changes:
        desk.planned.append(_row(notice, endpoint.id, "change", now, who="feed"))


def _personal(desk: Desk, notice: Notice, before: Mapping[str, list[Known]], *, delivered: bool, now: datetime) -> None:
    gone = desk.rep is not None and not desk.rep.active
    over = gone or not notice.open or (stale(notice.kind, notice.state, notice.fresh_until, now) and delivered)
    told = {e for e, rows in before.items() if any(one.purpose in ("tell", "step") for one in rows)}
    for endpoint in desk.endpoints:
        if endpoint.id in told and endpoint.changes and not endpoint.feed:
            desk.planned.append(_row(notice, endpoint.id, "change", now))
    if INBOX in told and not notice.open:
        desk.planned.append(_row(notice, INBOX, "change", now, who="delegate"))
    chosen = [] if over else [e for e in channels_of(desk, notice) if e.id not in told]
    if chosen:
        _interrupt(desk, chosen, notice, now)
    if notice.kind == "handover" and notice.open and notice.assignment is not None:
        _ladder(desk, notice, before, now)


def _interrupt(desk: Desk, chosen: Sequence[EndpointFacts], notice: Notice, now: datetime) -> None:
    quiet = quiet_until(desk.prefs, desk.rep, now)
    at = quiet or now
    reason = "quiet" if quiet is not None else ""
    if notice.kind in BUDGETED and not reason:
        at = next_interrupt(desk.interrupts, now, desk.per_hour)
        reason = "over_budget" if at > now else ""
    if not reason:
        desk.interrupts = interrupted(desk.interrupts, now, now)
        desk.planned += [_row(notice, e.id, "tell", now) for e in chosen]
        return
    for endpoint in chosen:
        pending = desk.digests.get(endpoint.id)
        joins = at if pending is None else min(at, pending)
        desk.planned.append(_row(notice, endpoint.id, "tell", joins, reason=reason))
        if pending is None or pending > at:
            desk.digests[endpoint.id] = at
            desk.planned.append(_digest(desk, endpoint.id, notice, at))
            if pending is None and at not in desk.interrupts:
                desk.interrupts = interrupted(desk.interrupts, at, now)


def _ladder(desk: Desk, notice: Notice, before: Mapping[str, list[Known]], now: datetime) -> None:
    done = {one.step for rows in before.values() for one in rows if one.purpose == "step"}
    reachable = {e.id for e in desk.endpoints if not e.feed and _may_have(e, notice)}
    # Nobody reacts in their sleep: the ladder begins when the rep may be told.
    begins = quiet_until(desk.prefs, desk.rep, now) or notice.created_at
    for number, step in enumerate(desk.prefs.ladder or [], 1):
        due = max(now, begins + timedelta(minutes=step.after_min))
        if number in done:
            continue
        if step.to in TO_PEOPLE:
            who: Who = "delegate" if step.to == "delegate" else "manager"
            desk.planned.append(_row(notice, INBOX, "step", due, who=who, step=number))
        elif step.to in reachable:
            desk.planned.append(_row(notice, step.to, "step", due, step=number))


def _row(
    notice: Notice,
    endpoint: str,
    purpose: Purpose,
    due_at: datetime,
    *,
    who: Who = "rep",
    step: int = 0,
    reason: str = "",
) -> Delivery:
    # A change is about one version of the notice; the others are once for each notice.
    about = notice.seq if purpose == "change" else step
    return Delivery(
        id=delivery_id(purpose, endpoint, who, notice.id, about),
        endpoint=endpoint,
        rep=notice.rep,
        who=who,
        purpose=purpose,
        notice_id=notice.id,
        seq=notice.seq,
        step=step,
        state="held" if reason else "due",
        due_at=due_at,
        reason=reason,
    )


def _digest(desk: Desk, endpoint: str, notice: Notice, at: datetime) -> Delivery:
    return Delivery(
        id=delivery_id("digest", endpoint, desk.id, notice.id),
        endpoint=endpoint,
        rep=desk.id,
        who="rep",
        purpose="digest",
        notice_id=None,
        seq=notice.seq,
        due_at=at,
    )
