"""What would scoring say of a person under other rules, or if one more event came? From stored counters; nothing is kept.

Counters of a signal that no policy has named yet are empty: such a signal counts from when its policy is in force. What
only many events together show (bursts, floods) is not judged here.
"""

import msgspec

from schemas.messages import LeadScored
from services.directory.core.match import DirectoryView
from services.policy.core.policy import Policy
from services.scoring.core import traits
from services.scoring.core.actor import judge
from services.scoring.core.counters import CODE_BITS
from services.scoring.core.emit import CauseIn, EmitIn, Member
from services.scoring.core.identity import ANONYMOUS
from services.scoring.core.profile import Profile
from services.scoring.core.read import DAY_MS, Event
from services.scoring.core.snapshot import Telling

NOBODY = b"\0" * 16


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person as stored: the lead (all zeros: there is none yet), and each identifier with its counters."""

    lead: bytes = NOBODY
    version: int = 0
    known: bool = False
    account: str | None = None
    network: str | None = None
    members: list[Member] = msgspec.field(default_factory=list)


def with_event(person: Person, event: Event, policy: Policy) -> tuple[Person, CauseIn]:
    """The person once the event has been counted under this policy, and the event as a cause."""
    wire = event.wire
    weight, verdict = judge(event.signal, wire.actor, wire.user_agent)
    members = list(person.members)
    there = {(member.kind, member.value): at for at, member in enumerate(members)}
    verified = wire.trust == "secret"
    for ident in event.idents:
        if (ident.kind, ident.value) not in there:
            there[ident.kind, ident.value] = len(members)
            members.append(Member(ident.kind, ident.value, verified, event.at_ms))
    first = event.idents[0]
    at = there[first.kind, first.value]
    members[at] = _counted(members[at], event, policy, weight, verified=verified)
    cause = CauseIn(
        event.id,
        event.signal,
        event.at_ms,
        event.received_ms,
        weight,
        verdict,
        wire.url,
        wire.path,
        wire.link,
        wire.name,
        False,
        next((ident.value for ident in event.idents if ident.kind == ANONYMOUS), None),
    )
    known = person.known or any(ident.strong for ident in event.idents)
    return msgspec.structs.replace(person, known=known, members=members), cause


def told(person: Person, causes: list[CauseIn], policy: Policy, view: DirectoryView, now_ms: int) -> LeadScored:
    """What scoring would say of the person now, under this policy."""
    emit = EmitIn(
        kind="changed",
        lead=person.lead,
        as_of_ms=now_ms,
        known=person.known,
        account=person.account,
        network=person.network,
        causes=causes,
    )
    return Telling(policy, view).snapshot(emit, person.version + 1, list(person.members))


def _counted(member: Member, event: Event, policy: Policy, weight: int, *, verified: bool) -> Member:
    wire = event.wire
    profile = Profile(b"", member.kind, member.value, state=member.state, packed_traits=member.traits)
    day = (event.at_ms // DAY_MS) << CODE_BITS
    for rule in policy.counted(event.signal, wire.path, wire.name, wire.link or wire.url):
        if weight:
            profile.add(day | rule.code, weight)
    if wire.traits is not None or wire.account is not None:
        profile.learn(wire, verified=verified, at=event.at_ms)
    return Member(
        member.kind, member.value, member.verified, member.since, profile.state.tobytes(), traits.pack(profile.traits)
    )
