"""What travels on each topic: the typed `data` of our CloudEvents.

Times are aware UTC datetimes (RFC 3339 on the wire). Identifiers, e-mail addresses and domains are lower case.
Fields may be added with a default; none is renamed or removed (a test compares the generated JSON Schema).
"""

from datetime import datetime
from typing import Any, Final, Literal

import msgspec

IdKind = Literal["email", "crm", "user", "anonymous"]
# Strongest first: the first one present names the profile that gets the points, and so the partition.
ID_KINDS: Final[tuple[IdKind, ...]] = ("email", "crm", "user", "anonymous")
STRONG_KINDS: Final[frozenset[str]] = frozenset(("email", "crm", "user"))

Actor = Literal["human", "proxied", "machine", "unknown"]
Trust = Literal["secret", "publishable"]
Route = Literal["nurture", "sdr", "owner"]
Stage = Literal["unknown", "identified", "qualified", "ready_to_buy", "customer", "disqualified"]
AssignmentState = Literal["offered", "accepted", "declined", "recalled", "closed", "won", "lost"]
NoticeKind = Literal["handover", "visiting_now", "opened", "clicked", "you_missed", "due"]


class Identifier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One name of a person or browser. `value` is trimmed; e-mail addresses are lower case."""

    kind: IdKind
    value: str


# Empty, so false. msgspec cannot decode an object into `Raw | None`, and leaves a default out by identity: use this one.
NO_PROPERTIES: Final = msgspec.Raw()


class Tracking(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`tracking.events`: one thing that a source saw a person or visitor do.

    The CloudEvents `id`, `source` and `time` (the event's own time, uncorrected) are the dedupe key.

    Attributes:
        ids: Strongest first; at least one.
        occurred_at: Own time corrected for the client's clock and never after `received_at`.
        untimed: The source gave no time; `time` is our receipt and only its UTC day takes part in the dedupe key.
        trust: `publishable` events come from browsers: they add points but verify nothing.
        actor: What the source itself says of who did it; None when it says nothing.
        traits: Facts about the person as the source sent them: name, title, company, industry, employees, country …
        account: Facts about the company: domain, name, industry, employees, country.
        link: Target of a clicked link.
        message_id: The e-mail that was opened or clicked; clicks of one message are judged together.
        name: The event's name in the source's own words.
        properties: Everything else the source sent, kept for reading and replay, at most 32 KB; empty when nothing is.
    """

    signal: str
    ids: list[Identifier] = msgspec.field(default_factory=list)
    received_at: datetime | None = None
    occurred_at: datetime | None = None
    untimed: bool = False
    trust: Trust = "secret"
    actor: Actor | None = None
    traits: dict[str, Any] | None = None
    account: dict[str, Any] | None = None
    url: str | None = None
    path: str | None = None
    link: str | None = None
    message_id: str | None = None
    campaign: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    name: str | None = None
    properties: msgspec.Raw = NO_PROPERTIES


class AccountRef(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The company of a lead, as the directory knew it when the message was made."""

    domain: str
    name: str = ""
    named: bool = False
    industry: str | None = None
    employees: int | None = None
    country: str | None = None
    owner: str | None = None
    matched_by: Literal["email", "account", "network", "name"] = "email"
    # True when the directory has no such account and the facts come from the lead's own traits.
    unlisted: bool = False


class PersonRef(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Who the lead is. `function`, `level` and `role` are read from the title; None is unknown and neutral."""

    email: str | None = None
    name: str | None = None
    title: str | None = None
    phone: str | None = None
    country: str | None = None
    language: str | None = None
    function: str | None = None
    level: str | None = None
    role: str | None = None
    role_mailbox: bool = False


class Reason(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One reason: a stable code, words for people, and what was seen against which limit."""

    code: str
    text: str
    seen: Any = None
    limit: Any = None
    points: float | None = None


class Fit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How well company and person match the ideal customer profile. `score` 0 to 100, grade A (best) to D."""

    grade: Literal["A", "B", "C", "D"]
    score: float
    reasons: list[Reason] = msgspec.field(default_factory=list)


class CurvePart(msgspec.Struct, kw_only=True, frozen=True):
    """One signal's part of engagement: `points` decayed to the message's `as_of`, before saturation.

    At a later time t it is `points * 2 ** (-(t - as_of) / half_life_s)`, saturated as `cap * (1 - exp(-points / cap))`;
    cap 0 means no saturation.
    """

    signal: str
    points: float
    half_life_s: float
    cap: float = 0.0


class Cause(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event behind a change. `event_id` is scoring's id of the event: hex of 16 bytes, unique for ever."""

    event_id: str
    signal: str
    occurred_at: datetime
    received_at: datetime
    actor: Actor = "unknown"
    human: float = 1.0
    url: str | None = None
    path: str | None = None
    link: str | None = None
    name: str | None = None
    reversed: bool = False
    # The visitor's own anonymous id, so that a greeting finds the browser.
    visitor: str | None = None


class LeadScored(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`lead.scored`: the lead's snapshot after something material happened.

    Attributes:
        version: Rises by at least one with every message of the lead; readers take the snapshot only when newer.
        windows: Signal name to [UTC day number, thousandths of an event] pairs, oldest first, for signals that the
            policy counts over days; the reader sums the days that count at its own `now`.
        merged_into: With kind `merged`: the lead that lives on.
        merged_from: Leads that were merged into this one by this change.
    """

    kind: Literal["changed", "reversed", "merged", "split", "erased"]
    lead_id: str
    version: int
    as_of: datetime
    policy_version: int
    known: bool = False
    members: list[Identifier] = msgspec.field(default_factory=list)
    person: PersonRef = msgspec.field(default_factory=PersonRef)
    account: AccountRef | None = None
    fit: Fit | None = None
    curve: list[CurvePart] = msgspec.field(default_factory=list)
    windows: dict[str, list[tuple[int, int]]] = msgspec.field(default_factory=dict)
    causes: list[Cause] = msgspec.field(default_factory=list)
    merged_into: str | None = None
    merged_from: list[str] = msgspec.field(default_factory=list)


class LeadRef(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The lead as a rep sees it. A visitor that nobody can name has only an id."""

    id: str
    email: str | None = None
    name: str | None = None
    title: str | None = None


class What(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing the lead did, for the notice."""

    signal: str
    at: datetime
    url: str | None = None
    event_id: str | None = None


class Say(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The ready message for the rep to send or speak. `language`: the code of the one that it is written in."""

    subject: str
    body: str
    language: str | None = None


class AssignmentRef(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Who has the lead. `gen` rises with every offer of the lead; commands must carry it."""

    id: str
    gen: int
    state: AssignmentState
    rep: str


class Timing(msgspec.Struct, kw_only=True, omit_defaults=True):
    """When each step happened, for the end-to-end latency."""

    occurred_at: datetime | None = None
    received_at: datetime | None = None
    scored_at: datetime | None = None
    routed_at: datetime | None = None


class LeadRouted(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`lead.routed`: one thing that people may have to hear of.

    Kinds: `decided` (a decision was recorded; with an `assignment` in state offered it is a handover), `alert` (the lead
    does something right now), `claimed` (a rep took it), `recalled` (an offer was withdrawn), `closed` (won, lost,
    declined, merged away), `due` (a timer: snooze ended, SLA, a cadence's step), `erased`.

    Attributes:
        recipients: Reps to be told (or, for claimed, recalled and closed, whose notices change).
        alert: With kind `alert`: which notice it becomes.
        fresh_until: The notice is worth nothing as news after this; later it becomes `you_missed`.
        visitors: Anonymous ids whose browsers may be greeted.
        greeter: `name`, `title` and `link` (to a time in the calendar) of the one in whose name the site greets; or `shop`,
            the address of the web shop.
    """

    kind: Literal["decided", "alert", "claimed", "recalled", "closed", "due", "erased"]
    lead: LeadRef
    decision_id: str | None = None
    account: AccountRef | None = None
    segment: str | None = None
    stage: Stage = "unknown"
    route: Route = "nurture"
    track: str | None = None
    pool: str | None = None
    assignee: str | None = None
    assignment: AssignmentRef | None = None
    recipients: list[str] = msgspec.field(default_factory=list)
    alert: NoticeKind | None = None
    fresh_until: datetime | None = None
    reasons: list[Reason] = msgspec.field(default_factory=list)
    counterfactual: list[Reason] = msgspec.field(default_factory=list)
    why: str = ""
    say: Say | None = None
    what: list[What] = msgspec.field(default_factory=list)
    timing: Timing = msgspec.field(default_factory=Timing)
    visitors: list[str] = msgspec.field(default_factory=list)
    greeter: dict[str, str] | None = None
    by: str | None = None
    policy_version: int = 0


class LeadOutcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """`lead.outcomes`: what people did with a handover. `reason` is a code, given with declined and lost."""

    kind: Literal["accepted", "declined", "snoozed", "won", "lost"]
    lead_id: str
    at: datetime
    rep: str | None = None
    assignment_id: str | None = None
    decision_id: str | None = None
    reason: str | None = None
    until: datetime | None = None
