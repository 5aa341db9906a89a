"""Which segment does the lead belong to? The first one whose condition holds."""

from collections.abc import Mapping
from typing import Any

from schemas.messages import Reason
from services.policy.core.policy import Policy, Segment


def segment_of(facts: Mapping[str, Any], policy: Policy) -> Segment | None:
    """The first segment of the policy, in its order, whose `when` holds; None when there is none."""
    for segment in policy.segments:
        if segment.when.test(facts):
            return segment
    return None


def segment_reason(segment: Segment | None) -> Reason:
    """Why the lead is in this segment, in words."""
    if segment is None:
        return Reason(code="no_segment", text="No segment of the policy covers this lead")
    return Reason(code="segment", text=f"Segment {segment.name}: {segment.when.text}", seen=segment.name)


def not_live(segment: Segment) -> Reason | None:
    """Why a segment hands nothing over although its conditions are met: it is off, or runs in shadow."""
    if segment.mode == "shadow":
        return Reason(
            code="segment_shadow",
            text=f"Segment {segment.name} runs in shadow: it would go to {segment.handover_to}, but nobody is told",
            seen=segment.handover_to,
        )
    if segment.mode == "off":
        return Reason(code="segment_off", text=f"Segment {segment.name} is off: its leads stay in nurture")
    return None
