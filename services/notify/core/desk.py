"""One rep's inbox during a batch: what is loaded, what has changed, and which numbers the changes get."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from schemas.messages import AssignmentState
from services.notify.core.budget import BURST, Budget
from services.notify.core.notice import Notice, NoticeState


class Desk(msgspec.Struct, kw_only=True):
    """One rep's inbox during a batch. `changed` is in order of the last change."""

    rep: str
    seq: int
    budget: Budget
    notices: dict[str, Notice] = msgspec.field(default_factory=dict)
    changed: dict[str, Notice] = msgspec.field(default_factory=dict)

    def put(self, notice: Notice) -> None:
        """Keep the notice as it is now."""
        self.notices[notice.id] = notice
        self.changed.pop(notice.id, None)
        self.changed[notice.id] = notice


Desks = Mapping[str, Desk]


def desk(rep: str, seq: int, budget_left: float | None, budget_at: datetime | None, now: datetime) -> Desk:
    """A rep's desk as it was stored; a new one has its whole budget."""
    left = BURST if budget_left is None else budget_left
    return Desk(rep=rep, seq=seq, budget=Budget(left, budget_at or now))


def numbered(one: Desk) -> list[Notice]:
    """The changed notices of a desk, each with the next number of the inbox."""
    for notice in one.changed.values():
        one.seq += 1
        notice.seq = one.seq
    return list(one.changed.values())


def change(
    one: Desk,
    notice: Notice,
    now: datetime,
    *,
    state: NoticeState,
    assignment: AssignmentState | None,
    note: str,
    by: str | None = None,
) -> None:
    """Move the notice to `state`; `assignment` None leaves the offer behind it as it is."""
    behind = notice.assignment
    if behind is not None and assignment is not None:
        behind = msgspec.structs.replace(behind, state=assignment)
    one.put(msgspec.structs.replace(notice, state=state, assignment=behind, note=note, by=by, updated_at=now))


def of_lead(desks: Desks, lead_id: str, kinds: frozenset[str] | None = None) -> list[tuple[Desk, Notice]]:
    """Open notices of a lead, on all desks."""
    return [
        (one, notice)
        for one in desks.values()
        for notice in list(one.notices.values())
        if notice.open and lead_id in notice.leads and (kinds is None or notice.kind in kinds)
    ]
