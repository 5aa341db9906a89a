"""What should happen to the lead? Stage, segment and route from the snapshot, the past and the policy; nothing else.

The same inputs give the same verdict for ever: `again` holds a stored decision to that.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.messages import LeadScored, Reason, Route, Stage
from services.policy.core.facts import facts_of
from services.policy.core.policy import Policy, Segment
from services.policy.core.score import day_of, points_at
from services.router.core.assign import choose
from services.router.core.model import Before, DecisionRecord, Pick, Verdict, rung
from services.router.core.segment import not_live, segment_of, segment_reason
from services.router.core.stage import climb

WORST_GRADE: Final = "D"
SELF_SERVE: Final = "self_serve"
OWNER: Final = "owner"
DEFAULT_TRACK: Final = "nurture"
SOONEST_LOOK: Final = timedelta(hours=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
STAGE_WORDS: Final[dict[str, str]] = {"ready_to_buy": "ready to buy"}


def decide(snapshot: LeadScored, before: Before, policy: Policy, now: datetime) -> Verdict:
    """Decide one lead.

    Args:
        snapshot: The newest snapshot from scoring.
        before: The lead as it stood.
        now: The time to decide for: the newest receipt of its causes, or a timer's due time.

    Returns:
        The verdict. With `handover` a rep still has to be chosen (`assign.choose`) and put in (`complete`).
    """
    facts = facts_of(snapshot, now, policy)
    stage = climb(facts, before.stage, before.outcome, policy)
    segment = segment_of(facts, policy)
    reasons = [segment_reason(segment), _stage_reason(stage, facts)]
    recall: Reason | None = None
    due = _due(stage, segment, snapshot)
    if before.held is not None:
        if due or before.held.state == "accepted" or stage == "customer":
            return _kept(stage, segment, before, reasons)
        recall = _recall_reason(snapshot, segment, stage)
        reasons.append(recall)
    name = segment.name if segment is not None else None
    nurture = Verdict(
        stage=stage,
        segment=name,
        track=_track(segment),
        recall=recall,
        reasons=reasons,
        counterfactual=_missing(segment, facts, policy, stage),
    )
    if stage in ("customer", "disqualified"):
        return _with(nurture, _ended(stage), counterfactual=[])
    if segment is None:
        return nurture
    if not due:
        return _with(nurture, *_not_due(segment, stage, facts, snapshot.known, nurture.counterfactual))
    silent = not_live(segment)
    if silent is not None:
        return _with(nurture, silent)
    if segment.handover_to == SELF_SERVE:
        return _with(
            nurture, Reason(code="self_serve", text="The web shop closes these deals; sales are not called in")
        )
    if before.cooldown_until is not None and before.cooldown_until > now:
        return _with(nurture, _cooling(before), counterfactual=[_cooldown_ends(before.cooldown_until)])
    to_owner = segment.handover_to == OWNER
    return Verdict(
        stage=stage,
        segment=name,
        route="owner" if to_owner else "sdr",
        pool=None if to_owner else segment.handover_to,
        handover=True,
        to=segment.handover_to,
        recall=recall,
        reasons=[*reasons, _handover_reason(segment)],
    )


def complete(verdict: Verdict, pick: Pick) -> Verdict:
    """The verdict with the chosen rep put in; without one the reason is dated and the route stays what it should be."""
    owned = pick.via == "owner" or verdict.to == OWNER
    route: Route = "owner" if owned else "sdr"
    return Verdict(
        stage=verdict.stage,
        segment=verdict.segment,
        route=route,
        pool=None if owned else (pick.pool or verdict.pool),
        assignee=pick.rep,
        recall=verdict.recall,
        reasons=[*verdict.reasons, pick.reason],
    )


def changed(before: Before, after: Verdict) -> bool:
    """Whether the decision is news: the first one, another stage, segment, route, track or assignee, or other grounds."""
    if not before.decided:
        return True
    was = (before.stage, before.segment, before.route, before.track, before.assignee)
    if was != (after.stage, after.segment, after.route, after.track, after.assignee):
        return True
    return before.grounds is not None and before.grounds != grounds(after)


def grounds(verdict: Verdict) -> list[str]:
    """What keeps a lead in nurture, and the shop that it is shown: without the numbers, which move with each event.

    A title that is learnt late mends the fit, a look at the prices brings the link: the record must not go on saying
    what is no longer so.
    """
    shops = [str(reason.seen) for reason in verdict.reasons if reason.code == "shop_link"]
    return sorted({reason.code for reason in verdict.counterfactual}) + shops


def again(record: DecisionRecord, policy: Policy) -> tuple[Verdict, Pick | None]:
    """Decide a stored decision again from its own inputs. Equal to what stands in it, or there is a bug.

    Args:
        policy: The version that the record names.
    """
    verdict = decide(record.snapshot, record.before, policy, record.now)
    if not verdict.handover or record.roster is None or verdict.to is None:
        return verdict, None
    pick = choose(record.roster, verdict.to, record.now, record.before.refused)
    return complete(verdict, pick), pick


def crossing(snapshot: LeadScored, stage: Stage, policy: Policy, now: datetime) -> datetime | None:
    """When the lead has to be looked at again because engagement fades or days drop out of a window.

    Never after the stage is left, perhaps before: then the next look is set anew, an hour later at the soonest. What is
    left of a sum after a time is at least what the fastest part of it keeps, and saturation only slows that down.

    Returns:
        A time at least an hour after `now`; None when time alone cannot change the stage.
    """
    if rung(stage) <= 0 or stage == "customer":
        return None
    fades, drops_out = _fades(snapshot, policy, now), _drops_out(snapshot, policy, now)
    at = fades if drops_out is None or (fades is not None and fades < drops_out) else drops_out
    return max(at, now + SOONEST_LOOK) if at is not None else None


def _fades(snapshot: LeadScored, policy: Policy, now: datetime) -> datetime | None:
    gained = lost = 0.0
    for points in points_at(snapshot.curve, snapshot.as_of, now):
        if points > 0:
            gained += points
        else:
            lost -= points
    passed = bisect_right(policy.engagement_turns, gained - lost)
    if not passed:
        return None
    fastest = min([part.half_life_s for part in snapshot.curve if part.points > 0])
    seconds = fastest * math.log2(gained / (policy.engagement_turns[passed - 1] + lost))
    return now + timedelta(seconds=math.floor(seconds) + 1)


def _drops_out(snapshot: LeadScored, policy: Policy, now: datetime) -> datetime | None:
    if not snapshot.windows:
        return None
    today = day_of(now)
    ends: list[int] = []
    for _, signal, days in policy.window_facts:
        ends += [day + days for day, count in snapshot.windows.get(signal, ()) if count and day + days > today]
    return EPOCH + timedelta(days=min(ends)) if ends else None


def _due(stage: Stage, segment: Segment | None, snapshot: LeadScored) -> bool:
    """The sales matrix says that a human should have the lead by now (whether or not it says who)."""
    if segment is None or not snapshot.known or stage in ("customer", "disqualified"):
        return False
    return rung(stage) >= rung(segment.handover_at)


def _kept(stage: Stage, segment: Segment | None, before: Before, reasons: list[Reason]) -> Verdict:
    held = before.held
    assert held is not None
    words = "has accepted it" if held.state == "accepted" else "has been offered it"
    return Verdict(
        stage=stage,
        segment=segment.name if segment is not None else None,
        route=before.route if before.route != "nurture" else ("owner" if held.via == "owner" else "sdr"),
        pool=held.pool,
        assignee=held.rep,
        reasons=[*reasons, Reason(code="already_assigned", text=f"{held.rep} {words}", seen=held.rep)],
    )


def _recall_reason(snapshot: LeadScored, segment: Segment | None, stage: Stage) -> Reason:
    limit = segment.handover_at if segment is not None else None
    if snapshot.kind in ("reversed", "split"):
        words = "What led to the handover has been taken back: it was not this person, or not a person"
        return Reason(code="reversed", text=words, seen=stage, limit=limit)
    return Reason(code="cooled_off", text="Interest has faded before anybody took the lead", seen=stage, limit=limit)


def _not_due(
    segment: Segment, stage: Stage, facts: dict[str, Any], known: bool, missing: Sequence[Reason]
) -> list[Reason]:
    shop = segment.shop(facts)
    found: list[Reason] = []
    if not known:
        found.append(Reason(code="not_known", text="Nobody can name this visitor yet"))
    below = f"Below {_words(segment.handover_at)}, where {segment.name} hands over to {segment.handover_to}"
    found.append(Reason(code="below_handover_stage", text=below, seen=stage, limit=segment.handover_at))
    if blames_fit(missing, facts):
        found.append(_fit_below(facts))
    found += missing
    if shop is not None:
        found.append(Reason(code="shop_link", text=f"Shown the web shop: {shop}", seen=shop))
    return found


def blames_fit(missing: Sequence[Reason], facts: dict[str, Any]) -> bool:
    """The company or the person is what is missing, no activity can mend it, and no reason says so in a word yet."""
    codes = {reason.code for reason in missing}
    return "fit_below" not in codes and ("persona_differs" in codes or facts.get("fit.grade") == WORST_GRADE)


def _fit_below(facts: dict[str, Any]) -> Reason:
    grade = facts.get("fit.grade")
    role = facts.get("persona.role")
    words = f"Fit is below what the handover asks for: grade {grade or 'unknown'}"
    return Reason(code="fit_below", text=f"{words}, role {role}" if role else words, seen=grade)


def _missing(segment: Segment | None, facts: dict[str, Any], policy: Policy, stage: Stage) -> list[Reason]:
    if segment is None or rung(stage) >= rung(segment.handover_at):
        return []
    return policy.missing(segment.handover_at, facts)


def _stage_reason(stage: Stage, facts: dict[str, Any]) -> Reason:
    score, grade = facts.get("engagement.score"), facts.get("fit.grade")
    words = f"Stage {_words(stage)}: engagement {score or 0.0:.1f}, fit {grade or 'unknown'}"
    return Reason(code="stage_reached", text=words, seen=stage)


def _handover_reason(segment: Segment) -> Reason:
    words = f"{segment.name} hands over to {segment.handover_to} at {_words(segment.handover_at)}"
    return Reason(code="handover_due", text=words, limit=segment.handover_at)


def _ended(stage: Stage) -> Reason:
    if stage == "customer":
        return Reason(code="customer", text="Won: the lead is a customer")
    return Reason(code="disqualified", text="A rep has ruled the lead out for good")


def _cooling(before: Before) -> Reason:
    until, why = before.cooldown_until, (before.cooldown_reason or "no reason given").replace("_", " ")
    return Reason(
        code="cooling_down",
        text=f"Rests until {until:%Y-%m-%d} ({why})",
        seen=before.cooldown_reason,
        limit=_iso(until),
    )


def _cooldown_ends(until: datetime) -> Reason:
    return Reason(code="cooldown_ends", text=f"May be handed over again from {until:%Y-%m-%d}", limit=_iso(until))


def _with(verdict: Verdict, *more: Reason, counterfactual: list[Reason] | None = None) -> Verdict:
    return Verdict(
        stage=verdict.stage,
        segment=verdict.segment,
        track=verdict.track,
        recall=verdict.recall,
        reasons=[*verdict.reasons, *more],
        counterfactual=verdict.counterfactual if counterfactual is None else counterfactual,
    )


def _track(segment: Segment | None) -> str:
    return segment.track if segment is not None else DEFAULT_TRACK


def _words(stage: str) -> str:
    return STAGE_WORDS.get(stage, stage)


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
