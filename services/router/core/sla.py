"""When is an unanswered offer due? Reminder, escalation and reassignment in the rep's working minutes."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal

import msgspec

from services.policy.core.policy import Sla
from services.router.core.model import Held

TimerKind = Literal["remind", "escalate", "reassign", "snooze", "cooldown", "retry", "decay", "cadence"]
SLA_KINDS: Final[tuple[TimerKind, ...]] = ("remind", "escalate", "reassign")
# Timers that belong to one offer: they are void once its `gen` has moved on.
OFFER_KINDS: Final[tuple[TimerKind, ...]] = (*SLA_KINDS, "snooze", "cadence")


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do later. At most one of a kind and lead."""

    lead_id: str
    kind: TimerKind
    due_at: datetime
    gen: int = 0


def next_step(
    lead_id: str, held: Held, sla: Sla, after: Callable[[float], datetime | None], done: TimerKind | None = None
) -> Timer | None:
    """The next step of an offer that nobody answers: reminder, escalation, and for a lead of a pool reassignment.

    Args:
        after: The instant at which so many working minutes of the rep have passed since the step before (or the offer), or
            None when the rep does not come back.
        done: The step that has just come due; None: the offer is fresh.
    """
    kind: TimerKind
    if done == "remind":
        kind, minutes = "escalate", sla.escalate_minutes - sla.remind_minutes
    elif done == "escalate" and held.pool is not None:
        kind, minutes = "reassign", sla.reassign_minutes - sla.escalate_minutes
    elif done in ("escalate", "reassign"):
        return None
    else:
        kind, minutes = "remind", sla.remind_minutes
    at = after(minutes)
    return Timer(lead_id=lead_id, kind=kind, due_at=at, gen=held.gen) if at is not None else None


def still_due(timer: Timer, held: Held | None, gen: int) -> bool:
    """Whether a timer that has come due still means something for a lead whose offers stand at `gen`."""
    if timer.kind in SLA_KINDS:
        waiting = held is not None and held.state == "offered" and held.gen == timer.gen
        return waiting and held is not None and (held.snoozed_until is None or held.snoozed_until <= timer.due_at)
    if timer.kind in OFFER_KINDS:
        return held is not None and held.gen == timer.gen
    return timer.gen in (0, gen)
