"""What do new messages change before anything is decided? Snapshots, events, merges, deals and erasure, put on the desk."""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from schemas.messages import Cause, LeadScored, Reason, Timing
from services.policy.core.policy import Policy
from services.router.commands import metrics
from services.router.commands.case import Case
from services.router.commands.desk import CASES_A_TURN, Desk
from services.router.core import notice
from services.router.core.alert import alerts_of
from services.router.core.model import Held, rung
from services.router.core.sla import Timer
from services.router.store.leads import Lead, Memory

TAKEN_BACK: Final = frozenset(("reversed", "split"))
DEALS: Final = frozenset(("deal.won", "deal.lost"))


class Scored(msgspec.Struct, frozen=True):
    """One decoded message. `sent_at` is when scoring made it, `part` where it lay: the partition of its lead."""

    message: LeadScored
    sent_at: datetime | None
    part: int


def leads_of(scored: Iterable[Scored]) -> set[str]:
    """Every lead that the messages touch: all are locked together."""
    ids: set[str] = set()
    for one in scored:
        ids.add(one.message.lead_id)
        ids.update(one.message.merged_from)
        if one.message.merged_into is not None:
            ids.add(one.message.merged_into)
    return ids


class Intake:
    """Takes the messages of one batch in.

    Args:
        new: Events (id, reversed) that nobody had seen before this transaction.
    """

    def __init__(self, desk: Desk, policy: Policy, new: Collection[tuple[str, bool]]) -> None:
        self._desk = desk
        self._policy = policy
        self._new = set(new)
        self.erased: list[str] = []

    async def take(self, scored: Sequence[Scored]) -> None:
        """Take all messages in; the messages of one lead lead to one decision."""
        by_lead: dict[str, list[Scored]] = {}
        for one in scored:
            by_lead.setdefault(one.message.lead_id, []).append(one)
        for number, (lead_id, messages) in enumerate(by_lead.items(), 1):
            self._lead(lead_id, messages)
            if number % CASES_A_TURN == 0:
                await asyncio.sleep(0)

    def _lead(self, lead_id: str, scored: Sequence[Scored]) -> None:
        messages = [one.message for one in scored]
        lead = self._desk.lead(lead_id, messages[0].as_of, scored[0].part)
        newest = messages[0] if len(messages) == 1 else max(messages, key=lambda m: m.version)
        newer = newest if newest.version > lead.version else None
        for message in messages:
            for other in message.merged_from:
                self._merge(other, lead_id, message.as_of)
        if newer is not None and newer.kind == "erased":
            self._erase(lead, newer)
            return
        if newer is not None and newer.merged_into is not None:
            # The message of a merged lead is bare: what we know of it goes to the one that lives on.
            lead.version = newer.version
            self._desk.touch(lead)
            self._merge(lead_id, newer.merged_into, newer.as_of)
            return
        causes = self._fresh_causes(messages)
        if newer is not None:
            lead.merged_into, lead.erased = None, False
            self._take(lead, newer)
        elif not causes or lead.gone:
            return
        snapshot = lead.scored()
        if snapshot is None:
            return
        if snapshot.kind not in TAKEN_BACK and not TAKEN_BACK.isdisjoint([m.kind for m in messages]):
            snapshot = msgspec.structs.replace(snapshot, kind="reversed")
        self._decide(lead, snapshot, causes, scored[-1].sent_at)

    def _take(self, lead: Lead, message: LeadScored) -> None:
        lead.take(message)
        self._desk.touch(lead)

    def _fresh_causes(self, messages: Sequence[LeadScored]) -> list[Cause]:
        causes: list[Cause] = []
        for message in messages:
            for cause in message.causes:
                key = (cause.event_id, cause.reversed)
                if key in self._new:
                    self._new.discard(key)
                    causes.append(cause)
        if len(causes) > 1:
            causes.sort(key=lambda c: (c.occurred_at, c.event_id))
        return causes

    def _decide(self, lead: Lead, snapshot: LeadScored, causes: list[Cause], sent_at: datetime | None) -> None:
        newest = causes[0] if causes else None
        if len(causes) > 1:
            newest = max(causes, key=lambda c: (c.received_at, c.event_id))
        now = newest.received_at if newest is not None else snapshot.as_of
        if lead.decided_at is not None:
            now = max(now, lead.decided_at)
        lead.memory.recent = notice.remember(lead.memory.recent, causes)
        for cause in causes:
            if cause.signal in DEALS:
                self._deal(lead, cause, now)
            self._desk.cadences.hear(lead, cause)
        case = Case(
            lead=lead,
            snapshot=snapshot,
            now=now,
            trigger="scored",
            before=lead.before(),
            causes=causes,
            timing=Timing(
                occurred_at=newest.occurred_at if newest is not None else None,
                received_at=newest.received_at if newest is not None else None,
                scored_at=sent_at,
            ),
        )
        self._desk.decide(case)
        self._look_back(case)
        assert case.verdict is not None
        if causes:
            segment = self._policy.segment(case.verdict.segment)
            case.alerts = alerts_of(causes, snapshot.account, segment, self._policy)

    def _look_back(self, case: Case) -> None:
        """Tell the rep who works a lead already that the reason for it is gone."""
        held, verdict = case.lead.held, case.verdict
        if held is None or held.state != "accepted" or case.snapshot.kind not in TAKEN_BACK or verdict is None:
            return
        if rung(verdict.stage) < rung(case.before.stage):
            words = f"What led to this handover has been taken back; the lead is now {verdict.stage}. It stays yours."
            reason = Reason(code="evidence_reversed", text=words, seen=verdict.stage, limit=case.before.stage)
            key = f"reversed.{case.lead.version}"
            self._desk.say(self._desk.writer.due(case.lead, held, [held.rep], reason, key))

    def _deal(self, lead: Lead, cause: Cause, now: datetime) -> None:
        """A deal closed in the CRM is the outcome of the lead."""
        won = cause.signal == "deal.won"
        if cause.reversed:
            if won and lead.outcome == "won":
                lead.outcome = None
            return
        if won:
            lead.outcome = "won"
        held, writer = lead.held, self._desk.writer
        words = "The CRM says that the deal is won" if won else "The CRM says that the deal is lost"
        if held is not None:
            reason = Reason(code=cause.signal.replace(".", "_"), text=words)
            self._desk.say(writer.ended(lead, held, "won" if won else "lost", reason))
            self._desk.end(lead, held, "won" if won else "lost", now, reason=reason.code)
        self._desk.say(writer.deal(lead, cause.event_id, won=won, at=cause.occurred_at, held=held))
        metrics.OUTCOMES.labels("won" if won else "lost", "crm").inc()
        if not won:
            self._desk.rest(lead, now, "lost")

    # -- merges and erasure

    def _merge(self, loser_id: str, winner_id: str, now: datetime) -> None:
        """Two leads are one person: what the loser had goes to the winner, who keeps one assignment."""
        loser = self._desk.leads.get(loser_id)
        if loser is None or winner_id in (loser_id, loser.merged_into):
            return
        winner = self._desk.leads.get(winner_id)
        if winner is None and loser.scored() is None:
            # Neither is known here: the winner will come with its own message.
            loser.merged_into = winner_id
            self._desk.forget(loser)
            return
        if winner is None:
            winner = self._stand_in(loser, winner_id, now)
        mine, theirs = winner.held, loser.held
        if theirs is not None:
            if mine is None or _first(theirs, mine):
                if mine is not None:
                    self._close(winner, mine, now)
                self._move(loser, winner, theirs)
            else:
                self._close(loser, theirs, now)
        winner.outcome = winner.outcome or loser.outcome
        if loser.cooldown_until is not None and loser.cooldown_until > (winner.cooldown_until or now):
            winner.cooldown_until, winner.cooldown_reason = loser.cooldown_until, loser.cooldown_reason
            self._desk.remind(Timer(lead_id=winner.id, kind="cooldown", due_at=loser.cooldown_until))
        winner.memory.refused = sorted({*winner.memory.refused, *loser.memory.refused})
        winner.memory.recent = sorted([*winner.memory.recent, *loser.memory.recent], key=lambda w: w.at, reverse=True)[
            : notice.WHATS_KEPT
        ]
        winner.gen = max(winner.gen, loser.gen)
        loser.merged_into, loser.assignee, loser.held = winner_id, None, None
        self._desk.forget(loser)
        self._desk.touch(winner)

    def _stand_in(self, loser: Lead, winner_id: str, now: datetime) -> Lead:
        """The winner's own message has not come yet: it stands with what we know of the loser, at version 0."""
        winner = self._desk.lead(winner_id, now)
        snapshot = loser.scored()
        if snapshot is not None:
            winner.take(msgspec.structs.replace(snapshot, lead_id=winner_id, version=0))
        winner.stage, winner.segment, winner.route, winner.track = loser.stage, loser.segment, loser.route, loser.track
        return winner

    def _move(self, loser: Lead, winner: Lead, held: Held) -> None:
        loser.held = None
        winner.gen = max(winner.gen, held.gen)
        winner.route, winner.pool, winner.assignee, winner.track = loser.route, loser.pool, held.rep, None
        winner.waiting_until = winner.waiting_reason = None
        self._desk.keep(winner, held)
        self._desk.cadences.move(loser, winner, held)
        if held.state == "offered":
            self._desk.start_clock(winner, held, max(held.offered_at, self._desk.wall))
            # The rep was told under the loser's name, and the two may be told of by different processes: what was said
            # of the loser ends there, and what becomes of the offer is said of the winner.
            self._desk.say(self._desk.writer.moved(loser, held))
            reason = Reason(
                code="merged", text="The same person as another lead: the offer goes on here", seen=loser.id
            )
            self._desk.say(self._desk.writer.due(winner, held, [held.rep], reason, f"moved.{loser.id}"))

    def _close(self, lead: Lead, held: Held, now: datetime) -> None:
        reason = Reason(code="merged", text="It is the same person as another lead that somebody has already")
        self._desk.say(self._desk.writer.ended(lead, held, "closed", reason))
        self._desk.end(lead, held, "closed", now, reason="merged")

    def _erase(self, lead: Lead, message: LeadScored) -> None:
        """Forget the person. The row stays without a name, so that nothing old brings the person back."""
        recipients: list[str] = []
        if lead.held is not None:
            recipients = [lead.held.rep]
            self._desk.end(lead, lead.held, "closed", message.as_of, reason="erased")
        lead.version, lead.erased, lead.snapshot, lead.memory = message.version, True, None, Memory()
        lead.email = lead.name = lead.title = lead.domain = lead.account_name = None
        lead.assignee = lead.track = lead.pool = None
        self._desk.forget(lead)
        self._desk.say(self._desk.writer.erased(lead, recipients))
        self.erased.append(lead.id)


def _first(one: Held, other: Held) -> bool:
    """Whether `one` has the better right: accepted before offered, older before younger."""

    def right(held: Held) -> tuple[bool, float, str]:
        return held.state != "accepted", (held.accepted_at or held.offered_at).timestamp(), held.id

    return right(one) < right(other)
