"""Which stage is the lead at? The ladder of the policy, climbed with hysteresis."""

from typing import Any

from schemas.messages import Stage
from services.policy.core.policy import Policy
from services.router.core.model import LADDER, Outcome, rung


def climb(facts: dict[str, Any], before: Stage, outcome: Outcome | None, policy: Policy) -> Stage:
    """The highest stage whose condition holds; adds the facts `stage.<name>` for conditions that build on them.

    A stage that the lead is at, or has passed, is held down to 0.8 (the policy's `hysteresis`) of the engagement that
    it takes to enter, so that decay cannot make a lead flap.

    Args:
        facts: Flat facts of the lead at `now`; the stage facts are written into it.
        before: The stage that the lead had until now.
        outcome: `won` makes a customer and `disqualified` ends the climb, whatever the facts say.
    """
    reached: Stage = "unknown"
    held = rung(before)
    for stage in LADDER[1:]:
        holds = policy.holds(stage, facts, held=rung(stage) <= held < len(LADDER))
        facts[f"stage.{stage}"] = holds
        if holds:
            reached = stage
    if outcome == "won":
        return "customer"
    if outcome == "disqualified":
        return "disqualified"
    return reached
