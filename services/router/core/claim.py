"""May this answer be given? The life of an assignment as a state machine.

offered -> accepted | declined | recalled | closed | won | lost; accepted -> declined | closed | won | lost.
"""

from datetime import datetime
from typing import Final, Literal, assert_never

import msgspec

from schemas.messages import AssignmentState
from services.router.core.model import OPEN, Held

Command = Literal["accept", "decline", "snooze", "won", "lost"]
# The lead was not mine to have: the next rep is asked at once instead of letting the lead cool down.
MISPLACED: Final[frozenset[str]] = frozenset(("wrong_person", "not_mine"))
# Nobody should ever be asked again.
DISQUALIFYING: Final[frozenset[str]] = frozenset(("competitor", "job_seeker"))
REASONS: Final[frozenset[str]] = (
    frozenset(("bad_fit", "not_now", "no_budget", "bad_data", "duplicate", "bot", "no_reply", "other"))
    | MISPLACED
    | DISQUALIFYING
)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One answer as a rep gives it. `rep` None: an admin, who may answer for anybody."""

    command: Command
    assignment_id: str
    gen: int
    rep: str | None
    reason: str | None = None
    until: datetime | None = None


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """The answer counts. `state` is the new one; `effect` False when it had been given before."""

    state: AssignmentState
    effect: bool = True


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """The answer does not count: a code, words, and who has the lead if somebody has."""

    code: Literal["already_taken", "stale_assignment"]
    text: str
    by: str | None = None


def answer(asked: Asked, named: Held | None, open_now: Held | None) -> Allowed | Denied:
    """May the answer be given?

    Args:
        named: The assignment that the answer names, open or not; None when the lead never had it.
        open_now: The assignment that the lead has now, or None.
    """
    mine = named is not None and asked.rep in (None, named.rep)
    if named is None or not mine or named.gen != asked.gen or named.state not in OPEN:
        if named is not None and mine and named.gen == asked.gen and _again(asked.command, named.state):
            return Allowed(state=named.state, effect=False)
        return _denied(asked, open_now)
    match asked.command:
        case "accept":
            return Allowed(state="accepted", effect=named.state == "offered")
        case "decline":
            return Allowed(state="declined")
        case "snooze":
            return Allowed(state=named.state, effect=named.snoozed_until != asked.until)
        case "won":
            return Allowed(state="won")
        case "lost":
            return Allowed(state="lost")
        case _:  # pragma: no cover
            assert_never(asked.command)


def _again(command: Command, state: AssignmentState) -> bool:
    return {"decline": "declined", "won": "won", "lost": "lost"}.get(command) == state


def _denied(asked: Asked, open_now: Held | None) -> Denied:
    if open_now is not None and asked.rep != open_now.rep:
        verb = "has accepted it" if open_now.state == "accepted" else "has been offered it"
        return Denied(code="already_taken", text=f"{open_now.rep} {verb}", by=open_now.rep)
    return Denied(code="stale_assignment", text="This offer is no longer open; reload the lead to see how it stands")
