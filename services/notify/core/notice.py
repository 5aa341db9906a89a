"""What is a notice, and how does a reader see it now? The JSON of `GET /v1/inbox` and of the stream."""

from datetime import datetime
from typing import Final, Literal

import msgspec

from schemas.messages import AssignmentState, NoticeKind

NoticeState = Literal["new", "joined", "claimed", "recalled", "expired"]

# Kinds that are news for a short time only.
ALERTS: Final[frozenset[str]] = frozenset(("visiting_now", "opened", "clicked"))
# Kinds that are about an offer: they follow what becomes of it.
OFFERS: Final[frozenset[str]] = frozenset(("handover", "due"))
# States in which somebody may still act on the notice.
OPEN_STATES: Final[frozenset[str]] = frozenset(("new", "joined"))


class ShownLead(msgspec.Struct, kw_only=True):
    """The lead as the rep sees it; every field is written, null when unknown."""

    id: str
    email: str | None = None
    name: str | None = None
    title: str | None = None


class ShownAccount(msgspec.Struct, kw_only=True):
    """The company of the lead."""

    domain: str
    name: str = ""


class ShownWhat(msgspec.Struct, kw_only=True):
    """One thing that was done. `lead_id` and `who` tell people apart when an account's alerts have joined."""

    signal: str
    at: datetime
    url: str | None = None
    event_id: str | None = None
    lead_id: str | None = None
    who: str | None = None


class ShownSay(msgspec.Struct, kw_only=True):
    """What to say, ready to send.

    Attributes:
        edited: These are the rep's own words; what joins later leaves them.
        language: The code of the one that it is written in; None: not known.
    """

    subject: str
    body: str
    edited: bool = False
    language: str | None = None


class ShownAssignment(msgspec.Struct, kw_only=True):
    """The offer behind the notice; commands carry `id` and `gen`."""

    id: str
    gen: int
    state: AssignmentState


class Notice(msgspec.Struct, kw_only=True):
    """One message to one rep. A change gives it a new `seq`, so that a cursor `seq > last` never skips it.

    Attributes:
        seq: Number in the rep's inbox; 0 until it is first stored.
        what: Newest last, at most `WHAT_MAX`; `happened` counts all, also those that are no longer listed.
        leads: Everybody whose doings have joined this notice.
        occurred_at: When the newest event behind it happened; `received_at`: when we got it.
        collapse: Notices of one rep with the same key join; None joins nothing.
        quiet: Over the rep's interrupt budget: listed and streamed, but nothing should ring.
        by: With state `claimed`: the rep who has the lead now.
        note: Why it was recalled, claimed or ended, in words.
    """

    id: str
    rep: str
    seq: int = 0
    kind: NoticeKind
    state: NoticeState = "new"
    lead: ShownLead
    account: ShownAccount | None = None
    what: list[ShownWhat] = msgspec.field(default_factory=list)
    happened: int = 0
    why: str = ""
    say: ShownSay | None = None
    assignment: ShownAssignment | None = None
    segment: str | None = None
    decision_id: str | None = None
    by: str | None = None
    note: str | None = None
    quiet: bool = False
    created_at: datetime
    updated_at: datetime
    fresh_until: datetime | None = None
    occurred_at: datetime | None = None
    received_at: datetime | None = None
    leads: list[str] = msgspec.field(default_factory=list)
    collapse: str | None = None

    @property
    def open(self) -> bool:
        """Whether somebody may still act on it."""
        return self.state in OPEN_STATES


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Notice)


def encode(notice: Notice) -> str:
    """The notice as JSON text: what is stored, listed and streamed."""
    return _encoder.encode(notice).decode()


def decode(text: str) -> Notice:
    """The notice from its stored JSON."""
    return _decoder.decode(text)


def stale(kind: str, state: str, fresh_until: datetime | None, now: datetime) -> bool:
    """Whether an open alert is no news any more at `now`."""
    return kind in ALERTS and state in OPEN_STATES and fresh_until is not None and now > fresh_until


def shown(notice: Notice, now: datetime, *, delivered: bool) -> Notice:
    """The notice as it may be shown at `now`: the staleness guard, right before each send.

    Args:
        delivered: The rep's screen had it while it was fresh.

    Returns:
        The notice itself; or, once stale, a copy: state `expired` if the rep had it in time, else kind `you_missed`.
    """
    if not stale(notice.kind, notice.state, notice.fresh_until, now):
        return notice
    if delivered:
        return msgspec.structs.replace(notice, state="expired")
    return msgspec.structs.replace(notice, kind="you_missed")
