"""What reps do with a lead: accept, decline, snooze, won, lost. Answered at once, effect once."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from schemas.messages import Reason
from services.directory.core.match import DirectoryView
from services.eventlog.ports import Connection, Outbox
from services.policy.core.policy import Policy
from services.router.commands import metrics
from services.router.commands.case import Case
from services.router.commands.commit import commit, parcel
from services.router.commands.desk import Desk
from services.router.core.claim import DISQUALIFYING, MISPLACED, REASONS, Asked, Denied, answer
from services.router.core.model import Held
from services.router.core.sla import Timer
from services.router.store.assignments import named_assignment
from services.router.store.leads import Lead, resolve
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import BadMessage, Refused

ANSWERED: Final = crash.step("router.answered", "an answer is written and staged, the commit is next")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How the lead stands after an answer. `effect` False: the same answer had been given before."""

    lead_id: str
    assignment_id: str
    gen: int
    state: str
    rep: str
    effect: bool
    cooldown_until: datetime | None = None
    snoozed_until: datetime | None = None
    route: str
    assignee: str | None


class Answers:
    """The commands of reps, run in the API process.

    Args:
        outbox: The lane of this process for answers.
        active: The policy in force; `view`: the directory as it is now.
        part_of: Lead id to its partition of `lead.scored`.
    """

    def __init__(
        self,
        *,
        db: Database,
        outbox: Outbox,
        active: Callable[[], Policy],
        view: Callable[[], DirectoryView],
        part_of: Callable[[str], int],
        clock: Clock,
    ) -> None:
        self._db = db
        self._outbox = outbox
        self._active = active
        self._view = view
        self._part_of = part_of
        self._clock = clock

    async def give(self, lead_id: str, asked: Asked, may_see: Callable[[Lead], bool]) -> Answered:
        """Give an answer.

        Args:
            may_see: Whether the caller may know of the lead at all. Who is or was asked by the named offer may: an answer
                given twice, or overtaken by another, must not look as if there were no such lead.

        Raises:
            Refused: `not_found` (404), `already_taken` or `stale_assignment` (409).
            BadMessage: `invalid`: the reason or the time is none.
        """
        now = self._clock.now()
        self._check(asked, now)
        async with self._db.transaction() as pg:
            desk = Desk(pg, self._active(), self._view(), hold=True, part_of=self._part_of, wall=now)
            lead = await self._locked(pg, desk, lead_id)
            named = await named_assignment(pg, asked.assignment_id) if lead is not None else None
            mine = named[1] if lead is not None and named is not None and named[0] in (lead.id, lead_id) else None
            if lead is None or not (may_see(lead) or (mine is not None and mine.rep == asked.rep)):
                msg = "there is no such lead, or it is not yours to see"
                raise Refused(msg, code="not_found")
            verdict = answer(asked, mine, lead.held)
            if isinstance(verdict, Denied):
                raise Refused(verdict.text, code=verdict.code, detail={"by": verdict.by})
            assert mine is not None
            if verdict.effect:
                self._do(desk, lead, mine, asked, now)
                staged = await commit(pg, self._outbox, await parcel(self._outbox, *await desk.finish()))
                crash.reach(ANSWERED)
            else:
                staged = None
        if verdict.effect:
            desk.committed()
            metrics.OUTCOMES.labels(asked.command, asked.reason or "none").inc()
            await self._outbox.committed(staged)
        return Answered(
            lead_id=lead.id,
            assignment_id=mine.id,
            gen=mine.gen,
            state=verdict.state,
            rep=mine.rep,
            effect=verdict.effect,
            cooldown_until=lead.cooldown_until,
            snoozed_until=lead.held.snoozed_until if lead.held is not None else None,
            route=lead.route,
            assignee=lead.assignee,
        )

    async def _locked(self, pg: Connection, desk: Desk, lead_id: str) -> Lead | None:
        """The lead, or the one that it was merged into."""
        lives = await resolve(pg, lead_id)
        if lives is None:
            return None
        await desk.look([lives])
        lead = desk.leads.get(lives)
        return None if lead is None or lead.gone else lead

    def _check(self, asked: Asked, now: datetime) -> None:
        if asked.command == "decline" and asked.reason not in self._reasons():
            msg = f"a decline needs a reason: one of {', '.join(sorted(self._reasons()))}"
            raise BadMessage(msg, code="invalid", detail={"reasons": sorted(self._reasons())})
        if asked.command == "snooze" and (asked.until is None or not now < asked.until):
            msg = "a snooze needs `until`, a time to come with its zone"
            raise BadMessage(msg, code="invalid")

    def _reasons(self) -> frozenset[str]:
        return REASONS | frozenset(self._active().cooldowns)

    def _do(self, desk: Desk, lead: Lead, held: Held, asked: Asked, now: datetime) -> None:
        match asked.command:
            case "accept":
                taken = msgspec.structs.replace(held, state="accepted", accepted_at=now)
                desk.keep(lead, taken)
                desk.stop_clock(lead)
                desk.cadences.begin(lead, taken, "accepted", now)
                desk.say(desk.writer.claimed(lead, taken, asked.rep or "admin"))
            case "snooze":
                assert asked.until is not None
                desk.keep(lead, msgspec.structs.replace(held, snoozed_until=asked.until))
                desk.stop_clock(lead)
                desk.remind(Timer(lead_id=lead.id, kind="snooze", due_at=asked.until, gen=held.gen))
            case "decline":
                self._decline(desk, lead, held, asked, now)
            case "won" | "lost":
                self._close(desk, lead, held, asked, now)
        desk.say(desk.writer.outcome(asked.command, lead, held, reason=asked.reason, until=asked.until))

    def _decline(self, desk: Desk, lead: Lead, held: Held, asked: Asked, now: datetime) -> None:
        if asked.reason in DISQUALIFYING:
            lead.outcome = "disqualified"
        words = (asked.reason or "").replace("_", " ")
        reason = Reason(code="declined", text=f"Declined: {words}", seen=asked.reason)
        desk.say(desk.writer.ended(lead, held, "declined", reason, by=asked.rep))
        desk.end(lead, held, "declined", now, reason=asked.reason)
        if asked.reason in MISPLACED:
            lead.memory.refused = sorted({*lead.memory.refused, held.rep})
        elif asked.reason not in DISQUALIFYING:
            desk.rest(lead, now, asked.reason)
        self._decide_again(desk, lead, asked, now)

    def _close(self, desk: Desk, lead: Lead, held: Held, asked: Asked, now: datetime) -> None:
        won = asked.command == "won"
        if won:
            lead.outcome = "won"
        words = (asked.reason or "no reason given").replace("_", " ")
        reason = Reason(code=asked.command, text="Won" if won else f"Lost: {words}", seen=asked.reason)
        desk.say(desk.writer.ended(lead, held, "won" if won else "lost", reason, by=asked.rep))
        desk.end(lead, held, "won" if won else "lost", now, reason=asked.reason)
        if not won:
            desk.rest(lead, now, asked.reason or "lost")
        self._decide_again(desk, lead, asked, now)

    def _decide_again(self, desk: Desk, lead: Lead, asked: Asked, now: datetime) -> None:
        snapshot = lead.scored()
        if snapshot is not None:
            at = max(now, lead.decided_at) if lead.decided_at is not None else now
            desk.decide(
                Case(lead=lead, snapshot=snapshot, now=at, trigger=f"command.{asked.command}", before=lead.before())
            )
