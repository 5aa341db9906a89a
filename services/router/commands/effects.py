"""What leaves the router: messages for notify and scoring, each with an id that is the same when decided again."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

from schemas.codec import CloudEvent, Message, encode
from schemas.messages import (
    AssignmentRef,
    AssignmentState,
    LeadOutcome,
    LeadRef,
    LeadRouted,
    Reason,
    Say,
    Stage,
    Timing,
    What,
)
from schemas.topics import LEAD_OUTCOMES, LEAD_ROUTED
from services.directory.core.match import DirectoryView
from services.policy.core.policy import Policy
from services.router.commands.case import Case, Effect
from services.router.core import notice
from services.router.core.alert import Alert
from services.router.core.claim import Command
from services.router.core.model import Held, Verdict
from services.router.core.sla import Timer
from services.router.store.leads import Lead

SOURCE: Final = "/router"
ROUTED_TYPE: Final = "leadrouter.lead.routed.v1"
OUTCOME_TYPE: Final = "leadrouter.lead.outcomes.v1"
OUTCOME_OF: Final[dict[Command, Any]] = {
    "accept": "accepted",
    "decline": "declined",
    "snooze": "snoozed",
    "won": "won",
    "lost": "lost",
}

# What a lead is once its outcome is known, also before it has been decided again.
STAGE_OF: Final[dict[str, Stage]] = {"won": "customer", "disqualified": "disqualified"}


def make_id(*parts: object) -> str:
    """32 hex characters that follow from `parts` alone."""
    return blake2b("\0".join([str(part) for part in parts]).encode(), digest_size=16).hexdigest()


def messages(effects: Sequence[Effect], now: datetime) -> list[Message]:
    """The effects as log records, in order."""
    return [_message(effect, now) for effect in effects]


def _message(effect: Effect, now: datetime) -> Message:
    routed = isinstance(effect.data, LeadRouted)
    event: CloudEvent[LeadRouted | LeadOutcome] = CloudEvent(
        id=effect.id,
        source=SOURCE,
        type=ROUTED_TYPE if routed else OUTCOME_TYPE,
        subject=effect.lead_id,
        time=now,
        data=effect.data,
    )
    topic = LEAD_ROUTED if routed else LEAD_OUTCOMES
    return Message(topic=topic.name, key=effect.lead_id.encode(), value=encode(event))


def ref(held: Held, state: AssignmentState | None = None) -> AssignmentRef:
    """An assignment as messages carry it."""
    return AssignmentRef(id=held.id, gen=held.gen, state=state or held.state, rep=held.rep)


def lead_ref(lead: Lead) -> LeadRef:
    """The lead as reps see it."""
    return LeadRef(id=lead.id, email=lead.email, name=lead.name, title=lead.title)


class Writer:
    """Makes messages under one policy and directory.

    Args:
        routed_at: Wall clock: when this transaction decides.
    """

    def __init__(self, policy: Policy, view: DirectoryView, routed_at: datetime) -> None:
        self._policy = policy
        self._view = view
        self._routed_at = routed_at

    def decided(self, case: Case) -> Effect:
        """A recorded decision; with an offer it is a handover."""
        verdict = _verdict(case)
        lead, held = case.lead, case.offered
        why = notice.why_handover(case.snapshot, verdict, case.causes)
        say = None
        if held is not None:
            rep = self._rep(held.rep)
            segment, stage = verdict.segment, verdict.stage
            say = notice.say(case.snapshot, segment, stage, rep, self._policy, why=why, causes=case.causes)
        data = LeadRouted(
            kind="decided",
            lead=lead_ref(lead),
            decision_id=lead.decision_id,
            account=case.snapshot.account,
            segment=verdict.segment,
            stage=verdict.stage,
            route=verdict.route,
            track=verdict.track,
            pool=verdict.pool,
            assignee=verdict.assignee,
            assignment=ref(held) if held is not None else None,
            recipients=[held.rep] if held is not None else [],
            reasons=verdict.reasons,
            counterfactual=verdict.counterfactual,
            why=why,
            say=say,
            what=lead.memory.recent if held is not None else [notice.what_of(c) for c in case.causes],
            timing=self._timing(case.timing),
            policy_version=self._policy.version,
        )
        return Effect(id=lead.decision_id or make_id(lead.id, lead.decisions), lead_id=lead.id, data=data)

    def alert(self, case: Case, alert: Alert, rep_id: str) -> Effect:
        """One act that the rep should hear of now."""
        verdict, account = _verdict(case), case.snapshot.account
        cause = alert.cause
        why = notice.why_alert(case.snapshot, cause)
        rep = self._rep(rep_id)
        # In the name of whoever is really in charge: the account's owner, or the rep who has taken the lead.
        held = case.lead.held
        in_charge = (account is not None and account.owner == rep_id) or (held is not None and held.state == "accepted")
        greeted = cause.visitor is not None and ((account is not None and account.named) or in_charge)
        data = LeadRouted(
            kind="alert",
            lead=lead_ref(case.lead),
            decision_id=case.lead.decision_id,
            account=account,
            segment=verdict.segment,
            stage=verdict.stage,
            route=verdict.route,
            track=verdict.track,
            assignee=verdict.assignee,
            assignment=ref(case.lead.held) if case.lead.held is not None else None,
            recipients=[rep_id],
            alert=alert.kind,
            fresh_until=alert.fresh_until,
            why=why,
            say=notice.say(case.snapshot, verdict.segment, verdict.stage, rep, self._policy, why=why, causes=[cause]),
            what=[notice.what_of(cause)],
            timing=Timing(
                occurred_at=cause.occurred_at,
                received_at=cause.received_at,
                scored_at=case.timing.scored_at,
                routed_at=self._routed_at,
            ),
            visitors=[cause.visitor] if greeted and cause.visitor is not None else [],
            greeter=self._greeter(rep_id) if greeted else None,
            policy_version=self._policy.version,
        )
        return Effect(id=f"{cause.event_id}.alert", lead_id=case.lead.id, data=data)

    def shop(self, case: Case, alert: Alert, url: str) -> Effect:
        """A lead whom nobody sells to looks at the site: its browser is shown the way to the shop, and nobody is told."""
        verdict, cause = _verdict(case), alert.cause
        data = LeadRouted(
            kind="alert",
            lead=lead_ref(case.lead),
            account=case.snapshot.account,
            segment=verdict.segment,
            stage=verdict.stage,
            route=verdict.route,
            track=verdict.track,
            alert=alert.kind,
            fresh_until=alert.fresh_until,
            timing=self._timing(case.timing),
            visitors=[cause.visitor] if cause.visitor is not None else [],
            greeter={"shop": url},
            policy_version=self._policy.version,
        )
        return Effect(id=f"{cause.event_id}.shop", lead_id=case.lead.id, data=data)

    def _greeter(self, rep_id: str) -> dict[str, str]:
        name, title, _ = self._rep(rep_id)
        rep = self._view.rep(rep_id)
        link = rep.meeting_link if rep is not None else None
        return {"name": name, "title": title, **({"link": link} if link else {})}

    def ended(
        self,
        lead: Lead,
        held: Held,
        state: AssignmentState,
        reason: Reason,
        *,
        by: str | None = None,
        gone: Sequence[What] = (),
    ) -> Effect:
        """An assignment is over: recalled, declined, won, lost or closed.

        Args:
            gone: Acts that were taken back: alerts that told of them are struck through as well.
        """
        kind: Any = "recalled" if state == "recalled" else "closed"
        data = self._about(lead, kind, held, state, to=[held.rep], reason=reason, by=by)
        data.what = list(gone)
        return Effect(id=f"{held.id}.{state}", lead_id=lead.id, data=data)

    def struck(self, lead: Lead, gone: Sequence[What]) -> Effect:
        """Acts were taken back that somebody may have been told of; what stands between the lead and a rep stays."""
        words = "It has been taken back: it was not this person, or not a person"
        data = LeadRouted(
            kind="recalled",
            lead=lead_ref(lead),
            segment=lead.segment,
            stage=lead.stage,
            route=lead.route,
            track=lead.track,
            reasons=[Reason(code="evidence_reversed", text=words)],
            why=words,
            what=list(gone),
            timing=Timing(routed_at=self._routed_at),
            policy_version=self._policy.version,
        )
        return Effect(id=f"{gone[0].event_id}.struck", lead_id=lead.id, data=data)

    def moved(self, loser: Lead, held: Held) -> Effect:
        """An offer goes on under the lead that its own was merged into."""
        reason = Reason(code="merged", text="It is the same person as another lead: the offer goes on there")
        data = self._about(loser, "closed", held, "closed", to=[held.rep], reason=reason)
        return Effect(id=f"{held.id}.moved.{loser.id}.closed", lead_id=loser.id, data=data)

    def claimed(self, lead: Lead, held: Held, by: str) -> Effect:
        """A rep has taken it."""
        name = self._rep(held.rep).name
        reason = Reason(code="accepted", text=f"{name} has accepted it", seen=held.rep)
        data = self._about(lead, "claimed", held, "accepted", to=[held.rep], reason=reason, by=by)
        return Effect(id=f"{held.id}.accepted", lead_id=lead.id, data=data)

    def due(
        self, lead: Lead, held: Held, recipients: list[str], reason: Reason, key: str, *, say: Say | None = None
    ) -> Effect:
        """Something that the rep or the manager should see to.

        Args:
            say: What to say; None: the ready message of the lead as it stands, in the name of whoever has it.
        """
        data = self._about(lead, "due", held, held.state, to=recipients, reason=reason)
        data.say = say or self._ready(lead, held, reason.text)
        return Effect(id=f"{held.id}.{key}", lead_id=lead.id, data=data)

    def erased(self, lead: Lead, recipients: list[str]) -> Effect:
        """The person is forgotten: notify must forget them too."""
        data = LeadRouted(
            kind="erased",
            lead=LeadRef(id=lead.id),
            recipients=recipients,
            timing=Timing(routed_at=self._routed_at),
            policy_version=self._policy.version,
        )
        return Effect(id=f"{lead.id}.{lead.version}.erased", lead_id=lead.id, data=data)

    def sla_reason(self, timer: Timer, held: Held) -> Reason:
        """What an SLA step says."""
        minutes = {
            "remind": self._policy.sla.remind_minutes,
            "escalate": self._policy.sla.escalate_minutes,
            "reassign": self._policy.sla.reassign_minutes,
        }.get(timer.kind, 0)
        name = self._rep(held.rep).name
        words = f"{name} has not answered for {minutes} working minutes"
        return Reason(code=f"sla_{timer.kind}", text=words, seen=held.rep, limit=minutes)

    def outcome(
        self, command: Command, lead: Lead, held: Held, *, reason: str | None, until: datetime | None
    ) -> Effect:
        """What a rep did, for scoring to learn from."""
        kind = OUTCOME_OF[command]
        data = LeadOutcome(
            kind=kind,
            lead_id=lead.id,
            at=self._routed_at,
            rep=held.rep,
            assignment_id=held.id,
            decision_id=held.decision_id,
            reason=reason,
            until=until,
        )
        suffix = f".{int(until.timestamp())}" if until is not None else ""
        return Effect(id=f"{held.id}.{kind}{suffix}", lead_id=lead.id, data=data)

    def deal(self, lead: Lead, event_id: str, *, won: bool, at: datetime, held: Held | None) -> Effect:
        """A deal that the CRM has closed, as an outcome."""
        data = LeadOutcome(
            kind="won" if won else "lost",
            lead_id=lead.id,
            at=at,
            rep=held.rep if held is not None else None,
            assignment_id=held.id if held is not None else None,
            decision_id=held.decision_id if held is not None else None,
        )
        return Effect(id=f"{event_id}.{data.kind}", lead_id=lead.id, data=data)

    def _about(
        self,
        lead: Lead,
        kind: Any,
        held: Held,
        state: AssignmentState,
        *,
        to: list[str],
        reason: Reason,
        by: str | None = None,
    ) -> LeadRouted:
        snapshot = lead.scored()
        return LeadRouted(
            kind=kind,
            lead=lead_ref(lead),
            decision_id=held.decision_id,
            account=snapshot.account if snapshot is not None else None,
            segment=lead.segment,
            stage=STAGE_OF.get(lead.outcome or "", lead.stage),
            route=lead.route,
            track=lead.track,
            pool=held.pool,
            assignee=held.rep if state in ("offered", "accepted") else None,
            assignment=ref(held, state),
            recipients=to,
            reasons=[reason],
            why=reason.text,
            by=by,
            timing=Timing(routed_at=self._routed_at),
            policy_version=self._policy.version,
        )

    def _ready(self, lead: Lead, held: Held, why: str) -> Say | None:
        snapshot = lead.scored()
        if snapshot is None:
            return None
        recent = [notice.cause_of(what) for what in lead.memory.recent[:1]]
        rep = self._rep(held.rep)
        return notice.say(snapshot, lead.segment, lead.stage, rep, self._policy, why=why, causes=recent)

    def _rep(self, rep_id: str) -> notice.Speaker:
        return notice.speaker(rep_id, self._view.rep(rep_id))

    def _timing(self, timing: Timing) -> Timing:
        return Timing(
            occurred_at=timing.occurred_at,
            received_at=timing.received_at,
            scored_at=timing.scored_at,
            routed_at=self._routed_at,
        )


def _verdict(case: Case) -> Verdict:
    assert case.verdict is not None
    return case.verdict
