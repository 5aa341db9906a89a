"""What would happen to a lead under a policy? Decided as the stage does it, from what is stored; nothing is written."""

from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from schemas.messages import LeadScored, Reason, Say
from services.directory.core.match import DirectoryView
from services.policy.core.policy import Policy
from services.policy.core.score import engagement
from services.router.commands.assigner import Assigner
from services.router.commands.case import Case
from services.router.core.alert import alerts_of, recipient
from services.router.core.decide import complete, decide
from services.router.core.model import Before, Candidate
from services.router.core.notice import say, speaker, why_handover
from services.router.store.batch import look
from services.router.store.leads import Lead, resolve
from services.runtime.db import Database


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided, why, and what the rep would be told.

    Attributes:
        assignee: Who would get it as things stand, or has it already.
        alerts: Kinds of notices that the events would raise, for `told`.
    """

    stage: str
    segment: str | None
    route: str
    track: str | None
    pool: str | None
    assignee: str | None
    handover: bool
    reasons: list[Reason]
    counterfactual: list[Reason]
    candidates: list[Candidate]
    grade: str | None
    fit: float | None
    fit_reasons: list[Reason]
    engagement: float
    parts: list[tuple[str, float]]
    alerts: list[str]
    told: str | None
    say: Say | None


class Trial:
    """Decides without a trace.

    Args:
        view: The directory as it is now.
    """

    def __init__(self, db: Database, view: Callable[[], DirectoryView]) -> None:
        self._db = db
        self._view = view

    async def before(self, lead_id: str) -> Before:
        """The lead as a decision would look back at it; a lead that was never decided has no past."""
        async with self._db.raw() as pg:
            lives = await resolve(pg, lead_id)
            found = (await look(pg, [lives], hold=False))[0] if lives is not None else {}
        lead = next(iter(found.values()), None)
        return lead.before() if lead is not None and not lead.erased else Before()

    async def outcomes(
        self, tries: Sequence[tuple[LeadScored, Policy]], before: Before, now: datetime
    ) -> list[Outcome]:
        """What each policy would decide of its own view of the same lead."""
        cases = [self._case(snapshot, before, policy, now) for snapshot, policy in tries]
        found = []
        async with self._db.raw() as pg:
            for case, (_, policy) in zip(cases, tries, strict=True):
                assigner = Assigner(pg, self._view(), hold=False)
                await assigner.prepare([case], [])
                found.append(self._outcome(case, policy, assigner))
        return found

    def _case(self, snapshot: LeadScored, before: Before, policy: Policy, now: datetime) -> Case:
        lead = Lead(id=snapshot.lead_id, part=0, created_at=now, updated_at=now, held=before.held)
        lead.take(snapshot)
        case = Case(lead=lead, snapshot=snapshot, now=now, trigger="trial", before=before, causes=snapshot.causes)
        case.verdict = decide(snapshot, before, policy, now)
        segment = policy.segment(case.verdict.segment)
        case.handovers_limit = segment.h2h.handovers_per_day if segment is not None else None
        case.alerts = alerts_of(snapshot.causes, snapshot.account, segment, policy)
        return case

    def _outcome(self, case: Case, policy: Policy, assigner: Assigner) -> Outcome:
        verdict, snapshot = case.verdict, case.snapshot
        assert verdict is not None
        handover = verdict.handover
        if handover:
            assigner.pick(case)
            assert case.pick is not None
            verdict = complete(verdict, case.pick)
        score, fit = engagement(snapshot.curve, snapshot.as_of, case.now), snapshot.fit
        told = recipient(case.lead.held, snapshot.account) or assigner.owner_of(case)
        rep = self._view().rep(verdict.assignee) if verdict.assignee else None
        words = None
        if rep is not None:
            why = why_handover(snapshot, verdict, case.causes)
            segment, stage = verdict.segment, verdict.stage
            words = say(snapshot, segment, stage, speaker(rep.id, rep), policy, why=why, causes=case.causes)
        return Outcome(
            stage=verdict.stage,
            segment=verdict.segment,
            route=verdict.route,
            track=verdict.track,
            pool=verdict.pool,
            assignee=verdict.assignee,
            handover=handover,
            reasons=verdict.reasons,
            counterfactual=verdict.counterfactual,
            candidates=case.pick.candidates if case.pick is not None else [],
            grade=fit.grade if fit is not None else None,
            fit=fit.score if fit is not None else None,
            fit_reasons=fit.reasons if fit is not None else [],
            engagement=round(score.score, 1),
            parts=[(part.signal, round(part.points, 1)) for part in score.parts],
            alerts=[alert.kind for alert in case.alerts],
            told=told if case.alerts else None,
            say=words,
        )
