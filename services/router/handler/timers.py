"""What has come due? Timers of the owned partitions, as decisions at the time they were set for."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from schemas.messages import Reason
from services.directory.core.match import DirectoryView
from services.policy.core.policy import Policy
from services.router.commands import metrics
from services.router.commands.case import Case
from services.router.commands.desk import Desk
from services.router.core.model import Before, Held
from services.router.core.sla import Timer, still_due
from services.router.store.leads import Lead


class TimerRun:
    """Timers that came due together."""

    def __init__(self, desk: Desk, policy: Policy, view: DirectoryView) -> None:
        self._desk = desk
        self._policy = policy
        self._view = view
        self._decided: set[str] = set()

    def take(self, timers: Sequence[Timer]) -> None:
        """Do what is due and still means something; a lead is decided once, its other timers come again next time."""
        for timer in timers:
            lead = self._desk.leads.get(timer.lead_id)
            if lead is None or lead.gone or not still_due(timer, lead.held, lead.gen):
                self._desk.cancel(timer.lead_id, (timer.kind,))
                continue
            if lead.id in self._decided:
                continue
            self._desk.cancel(timer.lead_id, (timer.kind,))
            metrics.TIMERS.labels(timer.kind).inc()
            self._one(timer, lead)

    def _one(self, timer: Timer, lead: Lead) -> None:
        held = lead.held
        match timer.kind:
            case "remind" | "escalate":
                assert held is not None
                self._tell(timer, lead, held)
                self._desk.start_clock(lead, held, timer.due_at, timer.kind)
            case "reassign":
                assert held is not None
                self._reassign(timer, lead, held)
            case "snooze":
                assert held is not None
                reason = Reason(code="snooze_ended", text="You asked to be reminded now")
                key = f"snooze.{int(timer.due_at.timestamp())}"
                self._desk.say(self._desk.writer.due(lead, held, [held.rep], reason, key))
                if held.state == "offered":
                    self._desk.start_clock(lead, held, max(timer.due_at, self._desk.wall))
            case "cadence":
                assert held is not None
                self._desk.cadences.step(timer, lead, held)
            case "cooldown":
                lead.cooldown_until = lead.cooldown_reason = None
                self._desk.touch(lead)
                self._decide(timer, lead)
            case "retry" | "decay":
                self._decide(timer, lead)
            case _:
                assert_never(timer.kind)

    def _tell(self, timer: Timer, lead: Lead, held: Held) -> None:
        recipients = [held.rep]
        if timer.kind == "escalate":
            rep = self._view.rep(held.rep)
            recipients = [rep.manager] if rep is not None and rep.manager is not None else recipients
        reason = self._desk.writer.sla_reason(timer, held)
        self._desk.say(self._desk.writer.due(lead, held, recipients, reason, timer.kind))

    def _reassign(self, timer: Timer, lead: Lead, held: Held) -> None:
        """Take the offer away if somebody else can have it; else it stays, and the manager knows already."""
        refused = sorted({*lead.memory.refused, held.rep})
        before = msgspec.structs.replace(lead.before(), held=None, refused=refused)
        case = self._decide(timer, lead, before, held)
        if case is not None and case.verdict is not None and not case.verdict.handover:
            case.verdict = None  # it would not be handed over today: the offer that stands is not taken back for that

    def _decide(
        self, timer: Timer, lead: Lead, before: Before | None = None, displaces: Held | None = None
    ) -> Case | None:
        snapshot = lead.scored()
        if snapshot is None:
            return None
        now = max(timer.due_at, lead.decided_at) if lead.decided_at is not None else timer.due_at
        case = Case(
            lead=lead,
            snapshot=snapshot,
            now=now,
            trigger=f"timer.{timer.kind}",
            before=before or lead.before(),
            displaces=displaces,
        )
        self._desk.decide(case)
        self._decided.add(lead.id)
        return case
