"""What does the router remember of a lead, and what is a decision made of? Values only.

None of them can be part of a cycle, so the garbage collector need not look at them (`gc=False`).
"""

from datetime import datetime
from typing import Final, Literal

import msgspec

from schemas.messages import AssignmentState, LeadScored, Reason, Route, Stage

LADDER: Final[tuple[Stage, ...]] = ("unknown", "identified", "qualified", "ready_to_buy")
RUNGS: Final[dict[Stage, int]] = {stage: height for height, stage in enumerate((*LADDER, "customer"))}
OPEN: Final[frozenset[str]] = frozenset(("offered", "accepted"))

Via = Literal["owner", "account", "pool", "manager"]
Outcome = Literal["won", "lost", "disqualified"]


def rung(stage: Stage) -> int:
    """How high a stage stands on the ladder: 0 unknown to 3 ready to buy, 4 customer, -1 disqualified."""
    return RUNGS.get(stage, -1)


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The open assignment of a lead: who has it and how it got there.

    Attributes:
        shares: What each rep of the pool was credited when this lead was given away, in `assign.UNIT`s; taken back
            when the credit is returned.
    """

    id: str
    rep: str
    gen: int
    state: AssignmentState
    via: Via = "pool"
    pool: str | None = None
    offered_at: datetime
    accepted_at: datetime | None = None
    snoozed_until: datetime | None = None
    decision_id: str | None = None
    shares: dict[str, int] = msgspec.field(default_factory=dict)


class Before(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The lead as it stood before a decision: everything of the past that a decision may look at."""

    stage: Stage = "unknown"
    segment: str | None = None
    route: Route = "nurture"
    track: str | None = None
    assignee: str | None = None
    pool: str | None = None
    outcome: Outcome | None = None
    cooldown_until: datetime | None = None
    cooldown_reason: str | None = None
    waiting_until: datetime | None = None
    held: Held | None = None
    decided: bool = False
    # What the last decision said was missing, and the shop that it showed (`decide.grounds`); None: not remembered.
    grounds: list[str] | None = None
    # Reps that had this lead and gave it back or let it lie: not asked again before it cools down.
    refused: list[str] = msgspec.field(default_factory=list)


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What should happen to the lead, before anybody is chosen.

    Attributes:
        handover: A rep has to be found now.
        to: `owner` or the name of a pool, when a handover is due.
        recall: Why an untouched offer has to be withdrawn, or None.
        crossing: When the stage will be left if nothing more happens, or None.
    """

    stage: Stage
    segment: str | None = None
    route: Route = "nurture"
    track: str | None = None
    pool: str | None = None
    assignee: str | None = None
    handover: bool = False
    to: str | None = None
    recall: Reason | None = None
    reasons: list[Reason] = msgspec.field(default_factory=list)
    counterfactual: list[Reason] = msgspec.field(default_factory=list)


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One rep as the assigner sees them: the roster excerpt that a decision keeps.

    Attributes:
        ok: Available by calendar and status at the decision's `now`; `code`, `text` and `until` say why not.
        open: Open assignments now; `open_limit` None is no limit.
        day: Leads given since the start of the UTC day.
        handovers: Leads of the pool given today; from `handovers_limit` on (the segment's `h2h.handovers_per_day`) others go
            first.
        credit: Leads owed to the rep in `assign.UNIT`s; negative: ahead of the others.
        last_at: When the rep last got a lead of the pool; breaks ties.
    """

    rep: str
    name: str = ""
    weight: int = 1
    ok: bool = True
    code: str = "available"
    text: str = ""
    until: datetime | None = None
    open: int = 0
    open_limit: int | None = None
    day: int = 0
    day_limit: int | None = None
    handovers: int = 0
    handovers_limit: int | None = None
    credit: int = 0
    last_at: datetime | None = None

    @property
    def spent(self) -> bool:
        """The day's handovers of the segment are used up."""
        return self.handovers_limit is not None and self.handovers >= self.handovers_limit


class Roster(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who could get the lead: first the reps that the account already has, then the pool.

    Attributes:
        owner: The account's owner by the directory.
        account_rep: The rep that another lead of the account went to.
        manager: Who gets what nobody else can take.
    """

    owner: Member | None = None
    account_rep: Member | None = None
    manager: Member | None = None
    pool: str | None = None
    members: list[Member] = msgspec.field(default_factory=list)


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One rep that was looked at: chosen, or skipped and why, in words."""

    rep: str
    code: str
    text: str
    chosen: bool = False
    credit: float | None = None
    until: datetime | None = None


class Pick(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The outcome of an assignment.

    Attributes:
        rep: None when nobody can take it now; then `retry_at` says when to ask again and `reason` why.
        shares: What each member of the pool was credited by this pick, in `assign.UNIT`s.
    """

    rep: str | None = None
    via: Via = "pool"
    pool: str | None = None
    reason: Reason
    retry_at: datetime | None = None
    candidates: list[Candidate] = msgspec.field(default_factory=list)
    shares: dict[str, int] = msgspec.field(default_factory=dict)


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One decision with its full inputs: from these it can be decided again, to the same answer.

    Attributes:
        n: The how-manieth decision of the lead, from 1.
        trigger: `scored`, `timer.<kind>` or `command.<name>`.
    """

    id: str
    lead_id: str
    n: int
    now: datetime
    trigger: str
    policy_version: int
    directory_version: int = 0
    before: Before
    snapshot: LeadScored
    roster: Roster | None = None
    verdict: Verdict
    pick: Pick | None = None
