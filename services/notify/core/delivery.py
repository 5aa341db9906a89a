"""What is a delivery? One message of one notice to one endpoint, with a due time; and what an endpoint is to a plan."""

from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from schemas.messages import NoticeKind

# tell: the notice's first message; change: what became of it; step: nobody has reacted; digest: what was held, together.
Purpose = Literal["tell", "change", "step", "digest"]
# Whom a delivery is for. `feed`: no rep, a system or a shared place.
Who = Literal["rep", "feed", "delegate", "manager"]
State = Literal["due", "held", "delivered", "skipped", "gave_up"]

# The inbox is no endpoint: what goes there is made by the stage itself. Steps of the ladder to other people use it.
INBOX: Final = "inbox"
KINDS: Final[tuple[NoticeKind, ...]] = ("handover", "due", "visiting_now", "opened", "clicked", "you_missed")


class EndpointFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan needs to know of an endpoint.

    Attributes:
        feed: Gets every notice that fits, whatever reps prefer; False: a way to reach the rep of the notice.
        kinds: Kinds of notices: of a feed those it gets, else those it gets when the rep has said nothing.
        reps: Only notices of these reps; empty: of all.
        segments: Only notices of these segments; empty: of all.
        changes: Can tell what became of a message that it has delivered.
    """

    id: str
    feed: bool
    kinds: frozenset[str] = frozenset(KINDS)
    reps: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    changes: bool = False


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A row of work.

    Attributes:
        seq: The notice's number in the inbox when this was planned.
        step: Which step of the ladder, from 1; else 0.
    """

    id: str
    endpoint: str
    rep: str
    who: Who
    purpose: Purpose
    notice_id: str | None
    seq: int
    step: int = 0
    state: State = "due"
    due_at: datetime
    reason: str = ""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery of a notice that was planned before."""

    endpoint: str
    purpose: Purpose
    state: State
    step: int = 0


def delivery_id(*parts: object) -> str:
    """The same for the same parts: planned twice, it is still one delivery; far sides see it as the message's id."""
    return blake2b("|".join(map(str, parts)).encode(), digest_size=16).hexdigest()
