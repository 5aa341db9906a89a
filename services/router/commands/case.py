"""One lead on its way through a transaction: what is asked, what was decided, what leaves."""

from datetime import datetime

import msgspec

from schemas.messages import Cause, LeadOutcome, LeadRouted, LeadScored, Reason, Timing
from services.router.core.alert import Alert
from services.router.core.model import Before, Held, Pick, Roster, Verdict
from services.router.store.leads import Lead


class Case(msgspec.Struct, kw_only=True):
    """One lead to be decided.

    Attributes:
        causes: New events only, oldest first.
        handovers_limit: How many leads of this one's segment a rep should get a day; None: no limit.
        displaces: The offer that the lead is taken away from, if somebody else can be found.
    """

    lead: Lead
    snapshot: LeadScored
    now: datetime
    trigger: str
    before: Before
    causes: list[Cause] = msgspec.field(default_factory=list)
    alerts: list[Alert] = msgspec.field(default_factory=list)
    timing: Timing = msgspec.field(default_factory=Timing)
    handovers_limit: int | None = None
    displaces: Held | None = None
    verdict: Verdict | None = None
    roster: Roster | None = None
    pick: Pick | None = None
    offered: Held | None = None
    recalled: tuple[Held, Reason] | None = None
    changed: bool = False

    @property
    def order(self) -> tuple[float, str]:
        """Leads are given away in the order of what happened."""
        at = self.causes[-1].occurred_at if self.causes else self.now
        return at.timestamp(), self.lead.id


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One message that leaves: `id` is the same whenever the same thing is decided again."""

    id: str
    lead_id: str
    data: LeadRouted | LeadOutcome
