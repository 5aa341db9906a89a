"""One transaction of the router: leads are decided and given away together, and what changes is written in one call.

Normally nothing is locked meanwhile: the write fails as a `Conflict` if somebody else was there in between. With `hold`
every lock is taken before it is read, so the write cannot fail; that is the way of the try after a conflict, and of
commands and timers.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from schemas.codec import Message
from schemas.messages import AssignmentState, Cause, Reason
from services.directory.core.match import DirectoryView
from services.eventlog.ports import Connection
from services.policy.core.policy import Policy
from services.router.commands import metrics
from services.router.commands.assigner import Assigner
from services.router.commands.cadences import Cadences
from services.router.commands.case import Case, Effect
from services.router.commands.effects import Writer, make_id, messages
from services.router.core import notice
from services.router.core.alert import recipient
from services.router.core.decide import changed, complete, crossing, decide, grounds
from services.router.core.model import DecisionRecord, Held, rung
from services.router.core.sla import OFFER_KINDS, SLA_KINDS, Timer, TimerKind, next_step
from services.router.store.assignments import Change, Offer
from services.router.store.batch import Seen, Write, look
from services.router.store.decisions import Decided
from services.router.store.leads import Lead, without_causes
from services.router.store.left import Left
from services.runtime import crash

CASES_A_TURN: Final = (
    32  # between two turns of the loop: what is being written, and answers of reps, must not wait for us
)
DECIDED: Final = crash.step("router.decided", "leads are locked and decided, nobody is chosen yet")
ASSIGNED: Final = crash.step("router.assigned", "reps are chosen, nothing is written yet")


class Desk:
    """One transaction.

    Args:
        pg: Where to look; with `hold` inside a transaction, which the desk neither begins nor ends.
        hold: Lock what is looked at.
        part_of: Lead id to its partition of `lead.scored`.
        wall: The wall clock now; only for what is said about this transaction, never for deciding.
        left: What is decided and not written yet, oldest first: it is decided upon that.
    """

    def __init__(
        self,
        pg: Connection,
        policy: Policy,
        view: DirectoryView,
        *,
        hold: bool,
        part_of: Callable[[str], int],
        wall: datetime,
        left: Sequence[Left] = (),
    ) -> None:
        self.leads: dict[str, Lead] = {}
        self.wall = wall
        self.writer = Writer(policy, view, wall)
        self.cadences = Cadences(self, policy, view)
        self._pg = pg
        self._hold = hold
        self._policy = policy
        self._view = view
        self._part_of = part_of
        self._left = left
        self._assigner = Assigner(pg, view, hold=hold, left=left)
        self._cases: list[Case] = []
        self._dirty: set[str] = set()
        self._returns: list[Held] = []
        self._changes: list[Change] = []
        self._offers: list[Offer] = []
        self._decided: list[Decided] = []
        self._first: list[Effect] = []
        self._drop: set[tuple[str, TimerKind]] = set()
        self._put: list[Timer] = []
        self._gone: set[str] = set()
        # Offers of one transaction are mostly made at one moment.
        self._due: dict[tuple[str, datetime, float], datetime | None] = {}
        self._counts: dict[tuple[Counter, tuple[str, ...]], int] = {}

    async def look(self, ids: Collection[str], causes: Sequence[tuple[Cause, str]] = ()) -> set[Seen]:
        """Read leads with their open assignments: once, all of the transaction together.

        Args:
            causes: Events with their leads; returns those that have been looked at before.
        """
        self.leads, seen = await look(self._pg, ids, causes, hold=self._hold)
        for left in self._left:
            left.over_leads(self.leads, ids)
            seen |= left.seen([(cause.event_id, cause.reversed) for cause, _ in causes])
        return seen

    def lead(self, lead_id: str, now: datetime, part: int | None = None) -> Lead:
        """The lead, made anew when it is not there yet; `part` is its partition where that is known already."""
        lead = self.leads.get(lead_id)
        if lead is None:
            part = self._part_of(lead_id) if part is None else part
            lead = Lead(id=lead_id, part=part, created_at=now, updated_at=now)
            self.leads[lead_id] = lead
        return lead

    def touch(self, lead: Lead) -> None:
        """Write this lead back at the end."""
        self._dirty.add(lead.id)

    def say(self, effect: Effect) -> None:
        """A message that leaves before those of the decisions."""
        self._first.append(effect)

    def remind(self, timer: Timer) -> None:
        """Set a timer."""
        self._put.append(timer)

    def cancel(self, lead_id: str, kinds: Iterable[TimerKind]) -> None:
        """Take timers away."""
        self._drop.update((lead_id, kind) for kind in kinds)

    def end(
        self,
        lead: Lead,
        held: Held,
        state: AssignmentState,
        at: datetime,
        *,
        reason: str | None = None,
        credit: bool = True,
    ) -> None:
        """The lead's open assignment is over.

        Args:
            credit: Return the credit, if it was not worked to an end: declined, or nobody had touched it.
        """
        self._changes.append(Change(lead_id=lead.id, held=held, state=state, ended_at=at, reason=reason))
        untouched = held.state == "offered" and state in ("recalled", "closed")
        if credit and (untouched or state == "declined"):
            self._returns.append(held)
        lead.held = lead.memory.cadence = None
        self.cancel(lead.id, OFFER_KINDS)
        self.touch(lead)

    def keep(self, lead: Lead, held: Held) -> None:
        """The lead's open assignment goes on in a new form: accepted, snoozed, or come over from a merged lead."""
        lead.held = held
        self._changes.append(Change(lead_id=lead.id, held=held, state=held.state))
        self.touch(lead)

    def rest(self, lead: Lead, now: datetime, reason: str | None) -> datetime:
        """The lead cools down, by the reason; returns until when. Everybody may be asked again after it."""
        until = now + timedelta(days=self._policy.cooldown_days(reason))
        lead.cooldown_until, lead.cooldown_reason = until, reason
        lead.memory.refused = []
        self.remind(Timer(lead_id=lead.id, kind="cooldown", due_at=until))
        self.touch(lead)
        return until

    def forget(self, lead: Lead) -> None:
        """Nothing is ever to be done about this lead again."""
        self._gone.add(lead.id)
        self.touch(lead)

    def decide(self, case: Case) -> None:
        """Put a lead on the list of those to decide."""
        self._cases.append(case)
        case.verdict = decide(case.snapshot, case.before, self._policy, case.now)
        segment = self._policy.segment(case.verdict.segment)
        case.handovers_limit = segment.h2h.handovers_per_day if segment is not None else None
        if case.verdict.recall is not None and case.before.held is not None:
            case.recalled = (case.before.held, case.verdict.recall)
            self.end(case.lead, case.before.held, "recalled", case.now, reason=case.verdict.recall.code)

    async def finish(
        self, *, causes: Collection[tuple[str, bool, str]] = (), erased: Collection[str] = ()
    ) -> tuple[Write, list[Message]]:
        """Choose reps; returns what is to be written, and the messages that leave with it.

        Args:
            causes: New events to remember: (id, reversed, lead).
        """
        crash.reach(DECIDED)
        await self._give()
        crash.reach(ASSIGNED)
        effects = list(self._first)
        for number, case in enumerate(self._cases, 1):
            effects += self._settle(case)
            if number % CASES_A_TURN == 0:
                await asyncio.sleep(0)
        write = Write(
            at=self.wall,
            causes=list(causes),
            leads=[self.leads[lead_id] for lead_id in self._dirty],
            changes=self._changes,
            offers=self._offers,
            decided=self._decided,
            drop=self._drop,
            put=[(timer, self.leads[timer.lead_id].part) for timer in self._put if timer.lead_id not in self._gone],
            gone=self._gone,
            forgotten=erased,
        )
        self._assigner.put(write)
        return write, messages(effects, self.wall)

    def committed(self) -> None:
        """Move the metrics: called after the commit, since what is rolled back has not happened."""
        for (counter, labels), n in self._counts.items():
            counter.labels(*labels).inc(n)

    def _count(self, counter: Counter, *labels: str) -> None:
        self._counts[counter, labels] = self._counts.get((counter, labels), 0) + 1

    # -- giving away

    async def _give(self) -> None:
        due = sorted((c for c in self._cases if c.verdict is not None and c.verdict.handover), key=lambda c: c.order)
        displaced = [case.displaces for case in due if case.displaces is not None]
        if not due and not self._returns:
            return
        await self._assigner.prepare(due, [*self._returns, *displaced])
        for held in self._returns:
            self._assigner.give_back(held)
        for number, case in enumerate(due, 1):
            self._choose(case)
            if number % CASES_A_TURN == 0:
                await asyncio.sleep(0)

    def _choose(self, case: Case) -> None:
        old = case.displaces
        if old is not None:
            self._assigner.give_back(old)
        self._assigner.pick(case)
        assert case.pick is not None
        assert case.verdict is not None
        if old is not None and case.pick.rep is None:
            # Nobody else is there: better a slow rep than none.
            self._assigner.take_again(old)
            case.verdict = None
            return
        self._count(metrics.ASSIGNMENTS, case.pick.via if case.pick.rep is not None else "none")
        case.verdict = complete(case.verdict, case.pick)

    # -- what a decision changes

    def _settle(self, case: Case) -> list[Effect]:
        lead, verdict = case.lead, case.verdict
        effects: list[Effect] = []
        if verdict is None:
            return effects
        gone = [notice.what_of(cause) for cause in case.causes if cause.reversed]
        if case.recalled is not None:
            held, reason = case.recalled
            self._count(metrics.RECALLS, reason.code)
            effects.append(self.writer.ended(lead, held, "recalled", reason, gone=gone))
        elif gone:
            effects.append(self.writer.struck(lead, gone))
        if case.displaces is not None:
            reason = Reason(code="sla_reassign", text="Given to somebody else: not answered in time")
            self._count(metrics.RECALLS, reason.code)
            lead.memory.refused = list(case.before.refused)
            self.end(lead, case.displaces, "recalled", case.now, reason=reason.code, credit=False)
            effects.append(self.writer.ended(lead, case.displaces, "recalled", reason))
        case.changed = changed(case.before, verdict) or (case.pick is not None and case.pick.rep is not None)
        self._take_over(case)
        if case.changed:
            self._record(case)
            effects.append(self.writer.decided(case))
        effects += self._alerts(case)
        self.touch(lead)
        return effects

    def _take_over(self, case: Case) -> None:
        lead, verdict, pick = case.lead, case.verdict, case.pick
        assert verdict is not None
        lead.stage, lead.segment, lead.route = verdict.stage, verdict.segment, verdict.route
        lead.track, lead.pool, lead.assignee = verdict.track, verdict.pool, verdict.assignee
        lead.decided_at = lead.updated_at = case.now
        lead.memory.grounds = grounds(verdict)
        if case.changed:
            lead.decisions += 1
            lead.decision_id = make_id(lead.id, "decision", lead.decisions)
        waits = pick is not None and pick.rep is None
        lead.waiting_until = pick.retry_at if waits and pick is not None else None
        lead.waiting_reason = pick.reason.code if waits and pick is not None else None
        if lead.waiting_until is not None:
            self.remind(Timer(lead_id=lead.id, kind="retry", due_at=lead.waiting_until))
        elif case.before.waiting_until is not None:
            self._drop.add((lead.id, "retry"))
        if pick is not None and pick.rep is not None:
            self._offer(case, pick.rep)
        if (case.changed or case.trigger == "timer.decay") and rung(verdict.stage) > 0:
            at = crossing(case.snapshot, verdict.stage, self._policy, case.now)
            if at is not None:
                self.remind(Timer(lead_id=lead.id, kind="decay", due_at=at))

    def _offer(self, case: Case, rep: str) -> None:
        lead, verdict, pick = case.lead, case.verdict, case.pick
        assert verdict is not None
        assert pick is not None
        lead.gen += 1
        held = Held(
            id=make_id(lead.id, "assignment", lead.gen),
            rep=rep,
            gen=lead.gen,
            state="offered",
            via=pick.via,
            pool=verdict.pool,
            offered_at=case.now,
            decision_id=lead.decision_id,
            shares=pick.shares,
        )
        lead.held = case.offered = held
        self._offers.append(Offer(lead_id=lead.id, held=held, segment=verdict.segment, stage=verdict.stage))
        since = max(case.now, self.wall)  # a late decision is not the rep's fault
        self.start_clock(lead, held, since)
        self.cadences.begin(lead, held, "offered", since)

    def start_clock(self, lead: Lead, held: Held, since: datetime, done: TimerKind | None = None) -> None:
        """Set the next SLA step of an offer; `since` is when it was made, or when the step `done` was due."""

        def after(minutes: float) -> datetime | None:
            asked = (held.rep, since, minutes)
            if asked not in self._due:
                self._due[asked] = self._view.after_working_minutes(*asked)
            return self._due[asked]

        timer = next_step(lead.id, held, self._policy.sla, after, done)
        if timer is not None:
            self.remind(timer)

    def stop_clock(self, lead: Lead) -> None:
        """The offer has been answered."""
        self.cancel(lead.id, SLA_KINDS)

    def _record(self, case: Case) -> None:
        lead, verdict = case.lead, case.verdict
        assert verdict is not None
        assert lead.decision_id is not None
        self._count(metrics.DECISIONS, verdict.route, verdict.segment or "none")
        record = DecisionRecord(
            id=lead.decision_id,
            lead_id=lead.id,
            n=lead.decisions,
            now=case.now,
            trigger=case.trigger,
            policy_version=self._policy.version,
            directory_version=self._view.version,
            before=case.before,
            snapshot=without_causes(case.snapshot),
            roster=case.roster,
            verdict=verdict,
            pick=case.pick,
        )
        causes = [cause.event_id for cause in case.causes]
        self._decided.append(Decided(record=record, causes=causes, timing=case.timing))

    def _alerts(self, case: Case) -> list[Effect]:
        """Alerts, unless the rep gets the lead itself at this moment: the handover tells it all.

        An owner is told of the visit all the same: there is a visitor to be greeted.
        """
        if not case.alerts or (case.offered is not None and case.offered.via != "owner"):
            return []
        rep = recipient(case.lead.held, case.snapshot.account) if case.lead.held else self._assigner.owner_of(case)
        if rep is None:
            return self._shop(case)
        for alert in case.alerts:
            self._count(metrics.ALERTS, alert.kind)
        return [self.writer.alert(case, alert, rep) for alert in case.alerts]

    def _shop(self, case: Case) -> list[Effect]:
        """The way to the shop, for a visitor who is there now and whom nobody is in charge of."""
        url = next((r.seen for r in case.verdict.reasons if r.code == "shop_link"), None) if case.verdict else None
        there = [alert for alert in case.alerts if alert.cause.visitor is not None and alert.kind == "visiting_now"]
        return [self.writer.shop(case, there[-1], url)] if url is not None and there else []
